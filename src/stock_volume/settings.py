"""Settings of the Kedro project."""

from stock_volume.hooks import ReleaseOnErrorHook, RunManifestHook, StageLogHook
from stock_volume.verdict_hook import VerdictHook

HOOKS = (StageLogHook(), ReleaseOnErrorHook(), RunManifestHook(), VerdictHook())
