"""What the report shows beyond the measures of both models, as it is written to JSON."""

from datetime import date

from pydantic import BaseModel, ConfigDict

from stock_volume.evaluation.results import BootstrapIntervals, GroupMetrics


class _Finding(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class MeasuredGroup(_Finding):
    """Measures of a group of rows of the backtest."""

    name: str
    """Name of the group; of groups with the same rows, all names."""

    measures: GroupMetrics
    """The measures."""

    intervals_95: BootstrapIntervals | None
    """Bootstrap intervals; None if the group has too few sessions for one."""


class ShortMonth(_Finding):
    """A month of too few sessions to be measured on its own."""

    month: str
    """Year and month, such as 2020-03."""

    sessions: int
    """Its sessions in the backtest."""


class CalibrationPoint(_Finding):
    """How often volumes fell below a quantile."""

    level: float
    """Level of the quantile, in per cent."""

    below: float
    """Share of the volumes up to the quantile, in per cent."""

    trained: bool
    """Whether a booster predicts the quantile; others are interpolated between those."""


class UnusualSession(_Finding):
    """A session on which the forecasts of many symbols missed in the same direction."""

    session: date
    """The target session."""

    kind: str
    """Its kind, such as a weekday or triple witching; empty if it is not known."""

    symbols: int
    """Symbols that were scored."""

    median_error: float
    """Median over the symbols of the volume relative to the forecast, in per cent."""

    outside: float
    """Share of the volumes outside the 80 % interval, in per cent."""


class ScoredForecast(_Finding):
    """A forecast of the backtest and the volume that came, in shares."""

    session: date
    """The target session."""

    volume: int
    """The actual volume."""

    forecast: float
    """The forecast."""

    lower: float
    """Lower end of the 80 % interval."""

    upper: float
    """Upper end of the 80 % interval."""


class SymbolExample(_Finding):
    """A symbol of the backtest, with its latest forecasts."""

    symbol: str
    """The symbol."""

    name: str
    """Name of the security."""

    measures: GroupMetrics
    """Measures of all its forecasts in the backtest."""

    forecasts: tuple[ScoredForecast, ...]
    """Its latest forecasts, ascending."""


class NextForecast(_Finding):
    """The forecast of a symbol's next session, in shares."""

    symbol: str
    """The symbol."""

    name: str
    """Name of the security."""

    forecast: float
    """The forecast."""

    lower: float
    """Lower end of the 80 % interval."""

    upper: float
    """Upper end of the 80 % interval."""

    usual: float
    """Mean volume of the 30 calendar days that end with the origin."""

    @property
    def change(self) -> float:
        """The forecast relative to the usual volume, in per cent."""
        return 100 * (self.forecast / self.usual - 1)


class NextSession(_Finding):
    """The forecasts of the session after the data."""

    session: date
    """The session."""

    symbols: int
    """Symbols that are forecast for it."""

    earlier: int
    """Symbols whose latest bar is older, so that their forecast is of an earlier session."""

    min_dollars: float
    """Mean daily dollar volume from which on a symbol is listed."""

    unusual: tuple[NextForecast, ...]
    """The forecasts that differ most from the symbol's usual volume, the busiest first."""


class YoungSymbol(_Finding):
    """A symbol with too few bars to be scored in the backtest."""

    symbol: str
    """The symbol."""

    bars: int
    """Its bars."""


class YoungSymbols(_Finding):
    """Symbols with too few bars to be scored in the backtest."""

    count: int
    """Their number."""

    min_bars: int
    """Bars that a symbol needs."""

    first: tuple[YoungSymbol, ...]
    """The first of them, in order of their symbols."""


class TroubledFileRows(_Finding):
    """A file with rows that were set aside."""

    file: str
    """Its path in the source."""

    rows: int
    """Rows read."""

    quarantined: int
    """Rows set aside."""

    rules: dict[str, int]
    """Rows set aside by rule, the most frequent first."""


class Provenance(_Finding):
    """What the results were made from."""

    data_fingerprint: str
    """Fingerprint of the raw files, as in the labels of the models."""

    git_revision: str
    """Commit of the code."""

    versions: dict[str, str]
    """Versions of Python and of the packages that can change a result."""

    exchange: str
    """Code of the exchange."""


class Findings(_Finding):
    """What the report shows beyond the measures of both models.

    The rows of the backtest are of the headline universe, except ``by_security``.
    """

    by_bucket: tuple[MeasuredGroup, ...]
    """By bucket of liquidity."""

    by_occasion: tuple[MeasuredGroup, ...]
    """By occasion of the target session."""

    by_variability: tuple[MeasuredGroup, ...]
    """By how much a symbol's volume varies."""

    by_security: tuple[MeasuredGroup, ...]
    """By kind of security."""

    by_month: tuple[MeasuredGroup, ...]
    """By month of the target session."""

    by_session: tuple[MeasuredGroup, ...]
    """By kind of the target session."""

    short_months: tuple[ShortMonth, ...]
    """Months that have too few sessions to be in ``by_month``."""

    calibration: tuple[CalibrationPoint, ...]
    """Shares of the volumes below quantiles, ascending."""

    unusual_sessions: tuple[UnusualSession, ...]
    """The sessions with the largest median errors, the largest first."""

    examples: tuple[SymbolExample, ...]
    """Symbols from the most to the least liquid."""

    next_session: NextSession | None
    """Forecasts of the session after the data; None if no symbol can be forecast."""

    young: YoungSymbols
    """Symbols that were not scored because they have too few bars."""

    worst_files: tuple[TroubledFileRows, ...]
    """The files with most rows set aside."""

    provenance: Provenance
    """What the results were made from."""
