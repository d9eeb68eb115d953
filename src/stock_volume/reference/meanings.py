"""What the columns of the layers mean. Features have their descriptions in their registry."""

from collections.abc import Mapping
from typing import Final

from stock_volume import columns
from stock_volume.bars import ledger, merge
from stock_volume.bars.rules import FLAGGING_RULES
from stock_volume.evaluation.groups import COMMON_STOCK, FOLD
from stock_volume.evaluation.opening_backtest import GAP_SIZE, GAP_SIZES, before
from stock_volume.events.rules import FLAGGING_RULES as EVENT_FLAGS
from stock_volume.features.calendar import HOLIDAY_OFFSET, KIND, WEEK
from stock_volume.features.horizon import ETAS, NEXT_VOLUMES
from stock_volume.features.quantities import BARS_SO_FAR, BASE
from stock_volume.features.registry import ETA, NEXT_OPEN, NEXT_VOLUME
from stock_volume.forecaster.horizons import HORIZON_FORECASTS
from stock_volume.forecaster.model import FORECAST
from stock_volume.forecaster.occasion import OCCASION, OCCASIONS
from stock_volume.forecaster.opening import OPENING_VOLUMES
from stock_volume.forecaster.universe import BUCKET, BUCKETS, VARIABILITIES, VARIABILITY

_FLAGS: Final = {
    rule.name: f"number of rows that the rule `{rule.name}` flags: kept, and counted"
    for rule in (*FLAGGING_RULES, *EVENT_FLAGS)
}

MEANINGS: Final[Mapping[str, str]] = {
    columns.SYMBOL: "name of the security on its exchange, as the data writes it",
    columns.SECURITY_NAME: "name in the listing, or the symbol",
    columns.ETF: "whether it is an ETF, by the listing or the folder",
    columns.DATE: "day of the bar, of the origin or of the event",
    columns.OPEN: "price at the open, in dollars; null if the feed writes 0 for unknown",
    columns.HIGH: "highest price, in dollars",
    columns.LOW: "lowest price, in dollars",
    columns.CLOSE: "price at the close, in dollars, adjusted for splits; in forecasts the origin's",
    columns.ADJ_CLOSE: "Close adjusted for splits and dividends",
    columns.VOLUME: "shares traded; in a backtest on the target session",
    columns.FILE: "file of the source",
    columns.LINE: "line of the file",
    columns.RULE: "first rule that the row breaks",
    ledger.STATUS: "what became of the file",
    ledger.NOTE: "what was odd about it; empty if nothing was",
    ledger.SIZE: "bytes",
    ledger.SHA256: "SHA-256 of its content",
    ledger.ROWS_READ: "rows read: the sum of the next three",
    ledger.ROWS_KEPT: "rows kept",
    ledger.ROWS_KNOWN: "rows of an update that were held already",
    ledger.ROWS_QUARANTINED: "rows set aside",
    ledger.PENDING: "whether later layers do not have its rows yet",
    columns.TIME: "`pre` or `post`: before or after the market's hours",
    columns.EVENT_KIND: "kind of event, such as `earnings`",
    columns.KNOWN: "when this version of the event became known",
    columns.CONFIRMED: "whether the date was confirmed",
    columns.SESSION: "first session that can react to the event",
    columns.KNOWN_FROM: "first session at whose close the version was known",
    columns.KNOWN_UNTIL: "first session at whose close it no longer held",
    merge.FIELD: "column of prices whose value changed",
    ledger.HELD: "value before the update; null if the bar's value was unknown",
    merge.RECENT: "value that replaced it",
    merge.PRICE_FACTOR: "factor of Open, High, Low and Close",
    merge.VOLUME_FACTOR: "factor of Volume",
    merge.ADJ_CLOSE_FACTOR: "factor of Adj Close",
    merge.REBASED_BARS: "number of bars that were rescaled",
    columns.VOL_MOVING_AVG: "mean Volume of the 30 calendar days that end with Date, in shares",
    columns.ADJ_CLOSE_ROLLING_MED: "median Adj Close of the same days",
    columns.TARGET_DATE: "session that is forecast: the one after the origin",
    KIND: "kind of the target session, for responses to earlier sessions of the same kind",
    HOLIDAY_OFFSET: "sessions from the nearest holiday to the target; null if it is far",
    WEEK: "week of the month of the target, from 0",
    BASE: "mean log dollar volume of the last five bars",
    BARS_SO_FAR: "bars of the symbol up to the origin",
    NEXT_VOLUME: "volume of the target session, in shares; null until it is known",
    NEXT_OPEN: "price at the open of the target session, in dollars; null until it is known",
    ETA: "log dollar volume of the target, less the base: what is forecast",
    NEXT_VOLUMES: "volume at each horizon, in shares",
    ETAS: "eta at each horizon",
    FORECAST: "forecast, in shares",
    r"^q[\d.]+$": "quantiles in per cent, in shares: `q5` to `q95`",
    "q10": "quantile 10 %, in shares",
    "q50": "quantile 50 %, in shares",
    "q90": "quantile 90 %, in shares",
    **{before(name): f"`{name}` as it was forecast before the open" for name in OPENING_VOLUMES},
    GAP_SIZE: "size of the gap at the open, in standard deviations of the daily return, from 0: "
    + ", ".join(GAP_SIZES),
    "last_value": "baseline: the volume of the origin",
    "ma5": "baseline: mean log dollar volume of the last five bars, as a volume at the Close",
    "ma20": "baseline: the same of the last twenty bars",
    "same_weekday": "baseline: mean of the last sessions on the same weekday",
    "har": "baseline: regression on daily, weekly and monthly means of volume",
    "ols_tech": "baseline: regression on means of volume and returns",
    COMMON_STOCK: "whether the name marks a common stock",
    BUCKET: f"liquidity, in dollars a day, from 0: {', '.join(BUCKETS)}",
    OCCASION: f"what is scheduled for the target, from 0: {', '.join(OCCASIONS)}",
    VARIABILITY: f"how much the symbol's volume varies, from 0: {', '.join(VARIABILITIES)}",
    FOLD: "model of the backtest, from 0",
    "horizon": "how far ahead: `h3` the third session, `total_5` the total of five",
    HORIZON_FORECASTS: "forecasts and bounds of the 80 % interval at each horizon, in shares",
    **_FLAGS,
}
"""Meanings by column, or by the pattern of several columns."""

PLACES: Final[Mapping[str, str]] = {
    "contact": "name and e-mail address for the SEC's EDGAR ([events](../sources/events.md))",
    "data_root": "folder of all layers",
    "events": "file, address or service with dates of events, or a list ([events](../events.md))",
    "exchange": "exchange of the bars; `globals.yml` names it ([exchanges](../exchanges.md))",
    "feature_chunk_rows": "minimum rows of a range of symbols in features; memory grows with it",
    "layers": "folder or address of the layers, if not the data root ([scaling](../scaling.md))",
    "max_failed_share": "share of symbols that may be without an answer before the run fails",
    "source": "archive, folder or address of the bars ([sources](../sources/README.md))",
    "symbols": "symbols to request, or a file that lists them",
    "tuned_conf": "folder that a search of parameters writes its result to",
    "url": "address of a symbol's file, with placeholders ([HTTP](../sources/http.md))",
}
"""Meanings of the parameters that the catalogs use, by name."""
