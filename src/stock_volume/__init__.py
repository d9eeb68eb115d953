"""Forecasts of daily stock-market trading volume, from raw bars to a service."""

__version__ = "0.1.0"
