"""Columns by which the errors of a backtest are grouped."""

from typing import Final

COMMON_STOCK: Final = "common_stock"
"""Column: whether the security is a common stock."""

FOLD: Final = "fold"
"""Column: number of the window whose model made the forecast."""
