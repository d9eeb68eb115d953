"""Settings of the Kedro project."""

from stock_volume.configuration import ConfigurationHook, ProjectConfigLoader
from stock_volume.hooks import (
    ClusterHook,
    FailedNodeHook,
    FreshnessHook,
    LockHook,
    ReleaseOnErrorHook,
    RunManifestHook,
    StageLogHook,
    VerdictHook,
)

CONFIG_LOADER_CLASS = ProjectConfigLoader
HOOKS = (
    ConfigurationHook(),
    LockHook(),
    ClusterHook(),
    FailedNodeHook(),
    StageLogHook(),
    ReleaseOnErrorHook(),
    RunManifestHook(),
    VerdictHook(),
    FreshnessHook(),
)
