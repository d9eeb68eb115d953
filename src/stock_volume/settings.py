"""Settings of the Kedro project."""

from stock_volume.configuration import ConfigurationHook, ProjectConfigLoader
from stock_volume.hooks import (
    ClosingHook,
    ClusterHook,
    FailedNodeHook,
    FreshnessHook,
    LockHook,
    ReleaseOnErrorHook,
    RunManifestHook,
    StageLogHook,
    TerminalHook,
    VerdictHook,
    VizStatsHook,
)
from stock_volume.project import configuration_folder

CONF_SOURCE = configuration_folder()
CONFIG_LOADER_CLASS = ProjectConfigLoader
HOOKS = (
    ConfigurationHook(),
    LockHook(),
    ClusterHook(),
    FailedNodeHook(),
    StageLogHook(),
    ReleaseOnErrorHook(),
    # Hooks are called from the last to the first: the results are described after the manifest.
    ClosingHook(),
    RunManifestHook(),
    TerminalHook(),
    VerdictHook(),
    FreshnessHook(),
    VizStatsHook(),
)
