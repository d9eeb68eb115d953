"""Names of the columns that the layers share: each defined in this one place."""

from typing import Final

SYMBOL: Final = "Symbol"
SECURITY_NAME: Final = "Security Name"
ETF: Final = "ETF"
DATE: Final = "Date"
OPEN: Final = "Open"
HIGH: Final = "High"
LOW: Final = "Low"
CLOSE: Final = "Close"
ADJ_CLOSE: Final = "Adj Close"
VOLUME: Final = "Volume"
TARGET_DATE: Final = "TargetDate"
"""The session that is forecast: the one after ``Date``, the origin."""

TIME: Final = "Time"
"""When on its date an event happens: before the market closes, or after."""

EVENT_KIND: Final = "Kind"
KNOWN: Final = "Known"
CONFIRMED: Final = "Confirmed"
EVENT: Final = (SYMBOL, DATE, TIME, EVENT_KIND, KNOWN, CONFIRMED)
"""An event of a symbol, as files hold it."""

SESSION: Final = "Session"
"""The session that reacts to an event."""

KNOWN_FROM: Final = "KnownFrom"
"""The first session at whose close a version of an event was known."""

KNOWN_UNTIL: Final = "KnownUntil"
"""The first session at whose close it was known that this version no longer holds."""

PRICES: Final = (OPEN, HIGH, LOW, CLOSE, ADJ_CLOSE)
NUMBERS: Final = (*PRICES, VOLUME)
BAR: Final = (DATE, *NUMBERS)
"""A raw bar as every Kaggle file spells it, in order."""

VOL_MOVING_AVG: Final = "vol_moving_avg"
ADJ_CLOSE_ROLLING_MED: Final = "adj_close_rolling_med"
ESTIMATOR_INPUTS: Final = (VOL_MOVING_AVG, ADJ_CLOSE_ROLLING_MED)
"""The two inputs of the estimator, in the order in which its model takes them."""

FILE: Final = "file"
LINE: Final = "line"
RULE: Final = "rule"
