"""Monitor whether a forecaster still performs as in its backtest."""
