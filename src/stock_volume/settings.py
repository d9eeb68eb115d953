"""Settings of the Kedro project."""

from stock_volume.hooks import RunManifestHook, StageLogHook

HOOKS = (StageLogHook(), RunManifestHook())
