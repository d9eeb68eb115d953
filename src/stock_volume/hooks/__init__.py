"""What happens around a run: its lock, what a terminal shows, logs, the manifest, the verdict."""

from stock_volume.hooks.closing import ClosingHook
from stock_volume.hooks.cluster import ClusterHook
from stock_volume.hooks.failed_node import FailedNodeHook
from stock_volume.hooks.freshness import FreshnessHook
from stock_volume.hooks.lock import LockHook
from stock_volume.hooks.manifest import RunManifestHook
from stock_volume.hooks.release import ReleaseOnErrorHook
from stock_volume.hooks.stage_log import StageLogHook
from stock_volume.hooks.terminal import TerminalHook
from stock_volume.hooks.verdict import VerdictHook
from stock_volume.hooks.viz_stats import VizStatsHook

__all__ = [
    "ClosingHook",
    "ClusterHook",
    "FailedNodeHook",
    "FreshnessHook",
    "LockHook",
    "ReleaseOnErrorHook",
    "RunManifestHook",
    "StageLogHook",
    "TerminalHook",
    "VerdictHook",
    "VizStatsHook",
]
