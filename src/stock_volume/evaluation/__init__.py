"""Evaluation of forecasts: backtest, baselines, measures, figures and the model card."""
