"""Settings of the Kedro project."""

from stock_volume.hooks import ReleaseOnErrorHook, RunManifestHook, StageLogHook

HOOKS = (StageLogHook(), ReleaseOnErrorHook(), RunManifestHook())
