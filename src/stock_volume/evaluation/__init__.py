"""How good the forecasts are: backtest, baselines, measures, figures and the model card."""
