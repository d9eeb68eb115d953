"""Whether a forecaster in use still is what its backtest showed: no Kedro, no BentoML."""
