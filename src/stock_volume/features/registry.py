"""The registry of features: each a named, documented expression, and their computation.

To add a feature, add an entry to the tuple of its kind: ``calendar``, ``market``,
``volume``, ``price``, ``response``, ``event``, or here for the estimator's.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Final, NamedTuple, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from stock_volume import columns
from stock_volume.features.calendar import CALENDAR_FEATURES
from stock_volume.features.event import (
    AROUND_EARLIER,
    EARLIER_EVENTS,
    EVENT_FEATURES,
    FRAME_ROW,
    SCORE_STEPS,
)
from stock_volume.features.feature import Feature, columns_of, select_features
from stock_volume.features.horizon import SESSION_NUMBER, Horizon, outcomes
from stock_volume.features.market import MARKET_FEATURES
from stock_volume.features.price import PRICE_FEATURES
from stock_volume.features.quantities import BARS_SO_FAR, BASE, add_quantities
from stock_volume.features.response import NEXT, NEXT_ABNORMAL, RESPONSE_FEATURES
from stock_volume.features.schedule import (
    GROUP_COLUMNS,
    NO_EVENTS,
    PEER_FEATURES,
    SCHEDULE_FEATURES,
    Schedule,
    add_schedule,
)
from stock_volume.features.volume import VOLUME_FEATURES

SECURITY_FEATURES: Final = (Feature("etf", "whether the security is an ETF", pl.col(columns.ETF)),)
"""What kind of security a symbol is."""

BAR_FEATURES: Final = (
    *SECURITY_FEATURES,
    *VOLUME_FEATURES,
    *PRICE_FEATURES,
    *RESPONSE_FEATURES,
    *EVENT_FEATURES,
    *SCHEDULE_FEATURES,
)
"""The forecaster's features that differ by symbol."""

SESSION_FEATURES: Final = (*CALENDAR_FEATURES, *MARKET_FEATURES, *PEER_FEATURES)
"""The forecaster's features that all symbols share."""

FORECAST_FEATURES: Final = (*BAR_FEATURES, *SESSION_FEATURES)
"""All features of the forecaster; an exchange without some scheduled events has fewer."""

HISTORY_YEARS: Final = 4
"""Years before that of the first target whose bars a feature sees, unless it sees all. Features of
earlier events look back three years."""

ETA: Final = "eta"
NEXT_VOLUME: Final = "next_volume"
NEXT_OPEN: Final = "next_open"
"""Column: what the target session opened at; no feature, for a forecast is made before it."""

_INTRODUCTION: Final = """\
Written by `make features-doc` from the registry of features. A bar's features see bars up to
its own, and the calendar of the session after it, the target. Responses and bars since an event
see all of them; the other features see {years} years before the year of the layer's first target.
The base is the mean log dollar volume of a symbol's last five bars; abnormal volume is a log dollar
volume over the base of the bar before, a volume surprise one over the median of the 22 bars before.

The forecaster has {count} features on an exchange with all scheduled events, such as NYSE, and with
dates of earnings ([Events](events.md)). The column `event` names the event that a feature is about:
exchanges without it do not have the feature ([Exchanges](exchanges.md)), nor do runs without dates
of earnings."""

FEATURE_KINDS: Final = {
    "Security": SECURITY_FEATURES,
    "Volume": VOLUME_FEATURES,
    "Price": PRICE_FEATURES,
    "Responses to sessions like the target": RESPONSE_FEATURES,
    "Events inferred from the symbol's past": EVENT_FEATURES,
    "Scheduled events of the symbol": SCHEDULE_FEATURES,
    "Calendar of the target session": CALENDAR_FEATURES,
    "The market's session": MARKET_FEATURES,
    "Scheduled events of all symbols": PEER_FEATURES,
}
"""The forecaster's features by kind."""


class FeatureParameters(BaseModel):
    """Parameters of the estimator's features.

    Attributes:
        window_days: Length of the trailing window, in calendar days.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_days: int = Field(default=30, ge=1)


def estimator_features(parameters: FeatureParameters) -> tuple[Feature, ...]:
    """List the estimator's features.

    Args:
        parameters: Lengths of the windows.

    Returns:
        The features, in the order of their columns.
    """
    # A window holds the dates in (t - window, t]: closed on the right, open on the left.
    window = timedelta(days=parameters.window_days)
    return (
        Feature(
            columns.VOL_MOVING_AVG,
            "mean Volume of the trailing window, own day included, in shares",
            _exact_rolling_mean(columns.VOLUME, window),
        ),
        Feature(
            columns.ADJ_CLOSE_ROLLING_MED,
            "median Adj Close of the trailing window, own day included, in dollars",
            pl.col(columns.ADJ_CLOSE).rolling_median_by(columns.DATE, window, closed="right"),
        ),
    )


def _exact_rolling_mean(name: str, window: timedelta) -> pl.Expr:
    """Average whole numbers over a trailing window.

    Polars' rolling mean adds what enters a window to a float and takes off what leaves it: after
    a huge volume it keeps the rounding, and may fall below 0. Sums of whole numbers are exact.
    """
    whole = pl.col(name).cast(pl.Int128)
    number = pl.col(name).is_not_null().cast(pl.UInt32)
    total, count = (
        part.rolling_sum_by(columns.DATE, window, closed="right") for part in (whole, number)
    )
    return total / count


def add_features(bars: pl.DataFrame, parameters: FeatureParameters) -> pl.DataFrame:
    """Add every feature of the estimator to the bars.

    Args:
        bars: Bars of any number of symbols, all bars of each, sorted by symbol and date.
        parameters: Lengths of the windows.

    Returns:
        The bars, in the same order, with one column per feature.
    """
    return bars.with_columns(columns_of(estimator_features(parameters), columns.SYMBOL))


class FeatureSet(NamedTuple):
    """The forecaster's features on an exchange.

    Attributes:
        bar: Features that differ by symbol.
        session: Features that all symbols share.
    """

    bar: tuple[Feature, ...]
    session: tuple[Feature, ...]

    @classmethod
    def of_layer(cls, names: Iterable[str]) -> Self:
        """Select the features on the exchange of a layer.

        Args:
            names: Columns of sessions, or of the forecaster's features: they show which
                scheduled events the exchange has.
        """
        present = set(names)
        events = {
            feature.event
            for feature in FORECAST_FEATURES
            if feature.event is not None and feature.name in present
        }
        return cls(select_features(BAR_FEATURES, events), select_features(SESSION_FEATURES, events))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all, in the order of their columns."""
        return tuple(feature.name for feature in (*self.bar, *self.session))


def first_bar(first_target: date) -> date:
    """Find the first day whose bars features see, unless they see all.

    It moves once a year: the last digits of a rolling sum depend on where it begins.

    Args:
        first_target: First target session of the rows that are kept.

    Returns:
        A first of January.
    """
    return date(first_target.year - HISTORY_YEARS, 1, 1)


def forecast_features(
    bars: pl.DataFrame,
    sessions: pl.DataFrame,
    first_target: date | None = None,
    schedule: Schedule = NO_EVENTS,
    horizons: Sequence[Horizon] = (),
) -> pl.DataFrame:
    """Compute every feature of the forecaster, and its targets where they are known.

    Args:
        bars: Bars of any number of symbols, all bars of each, sorted by symbol and date.
        sessions: Rows of ``market_sessions``; their exchange, and whether they have columns of
            ``add_to_sessions``, determine the features.
        first_target: First target session of the rows to return, which determines
            ``first_bar``; None for all rows, whose features see all bars.
        schedule: The scheduled events of the same symbols.
        horizons: What is forecast beyond the next session.

    Returns:
        One row per bar from ``first_target`` on, in the same order: the origin (symbol, dates,
        Close, Volume, base, bars so far), the target (``next_volume``, ``next_open`` and ``eta``),
        that of each horizon, and the features as float32, null where they are unknown or not
        finite. The target is null where the symbol has no bar on the next session.
    """
    features = FeatureSet.of_layer(sessions.columns)
    frame = _add_far_features(bars, sessions, schedule, features)
    if first_target is not None:
        frame = frame.filter(pl.col(columns.DATE) >= first_bar(first_target))
    near = (one.as_column() if one.sees_all else one for one in features.bar)
    computed = _add_earlier_events(frame).select(
        *_origin(),
        *outcomes(horizons),
        *columns_of(near, columns.SYMBOL),
        *(pl.col(feature.name) for feature in features.session),
    )
    if first_target is not None:
        computed = computed.filter(pl.col(columns.TARGET_DATE) >= first_target)
    # The conversion uses its value twice: of an expression, Polars would compute it twice.
    return computed.with_columns(_as_float32(pl.col(name)) for name in features.names)


def _add_far_features(
    bars: pl.DataFrame, sessions: pl.DataFrame, schedule: Schedule, features: FeatureSet
) -> pl.DataFrame:
    """Add what is computed from all bars: quantities, scores, and the features that see all."""
    numbered = sessions.with_row_index(SESSION_NUMBER)
    frame = (
        add_quantities(bars)
        .join(numbered, on=columns.DATE, how="left", maintain_order="left")
        .with_columns(columns_of(NEXT, columns.SYMBOL))
    )
    if GROUP_COLUMNS[0] in sessions.columns:
        frame = add_schedule(frame, schedule)
    for step in SCORE_STEPS:
        frame = frame.with_columns(expression.over(columns.SYMBOL) for expression in step)
    far = [feature for feature in features.bar if feature.sees_all]
    return frame.with_columns(columns_of(far, columns.SYMBOL))


def _add_earlier_events(frame: pl.DataFrame) -> pl.DataFrame:
    around = (expression.over(columns.SYMBOL) for expression in AROUND_EARLIER)
    return (
        frame.with_row_index(FRAME_ROW)
        .with_columns(around)
        .with_columns(columns_of(EARLIER_EVENTS))
    )


def changed_sessions(features: pl.LazyFrame, sessions: pl.DataFrame) -> pl.Series:
    """Find the origins whose features that all symbols share are no longer the same.

    Args:
        features: Rows of ``forecast_features``, as computed earlier.
        sessions: Rows of ``market_sessions``, as they are now.

    Returns:
        Dates.
    """
    names = [feature.name for feature in SESSION_FEATURES if feature.name in sessions.columns]
    shared = [columns.TARGET_DATE, *names]
    then = features.group_by(columns.DATE).agg(pl.col(shared).first()).collect(engine="streaming")
    now = sessions.select(
        columns.DATE,
        columns.TARGET_DATE,
        *(_as_float32(pl.col(name)) for name in names),
    )
    both = then.join(now, on=columns.DATE, how="left", suffix=" now")
    same = [pl.col(name).eq_missing(pl.col(f"{name} now")) for name in shared]
    return both.filter(~pl.all_horizontal(same))[columns.DATE]


def _origin() -> list[pl.Expr]:
    is_next = pl.col(columns.DATE).shift(-1).over(columns.SYMBOL) == pl.col(columns.TARGET_DATE)
    volume, opening = (
        pl.when(is_next).then(pl.col(name).shift(-1).over(columns.SYMBOL))
        for name in (columns.VOLUME, columns.OPEN)
    )
    return [
        pl.col(columns.SYMBOL),
        pl.col(columns.SECURITY_NAME),
        pl.col(columns.ETF),
        pl.col(columns.DATE),
        pl.col(columns.TARGET_DATE),
        pl.col(columns.CLOSE),
        pl.col(columns.VOLUME),
        pl.col(BASE),
        pl.col(BARS_SO_FAR),
        volume.alias(NEXT_VOLUME),
        opening.alias(NEXT_OPEN),
        pl.col(NEXT_ABNORMAL).alias(ETA),
    ]


def _as_float32(expression: pl.Expr) -> pl.Expr:
    value = expression.cast(pl.Float32)
    return pl.when(value.is_finite()).then(value)


def describe_features() -> str:
    """Describe every feature, as Markdown.

    Returns:
        The text of docs/features.md.
    """
    parts = [
        "# Features",
        "",
        _INTRODUCTION.format(count=len(FORECAST_FEATURES), years=HISTORY_YEARS),
    ]
    kinds = {"The estimator's": estimator_features(FeatureParameters()), **FEATURE_KINDS}
    for kind, of_kind in kinds.items():
        parts += ["", f"## {kind}", "", *_table(of_kind)]
    return "\n".join(parts) + "\n"


def _table(features: Iterable[Feature]) -> list[str]:
    rows = [(f"`{one.name}`", one.description, one.event or "") for one in features]
    if not any(event for *_, event in rows):
        return [
            "| feature | what it measures |",
            "|---|---|",
            *(f"| {name} | {description} |" for name, description, _ in rows),
        ]
    return [
        "| feature | what it measures | event |",
        "|---|---|---|",
        *(f"| {name} | {description} | {event} |" for name, description, event in rows),
    ]
