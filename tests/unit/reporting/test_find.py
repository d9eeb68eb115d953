"""What the report shows beyond the measures."""

from datetime import date
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest

from stock_volume import columns
from stock_volume.evaluation.groups import COMMON_STOCK
from stock_volume.features.calendar import KIND
from stock_volume.features.quantities import BARS_SO_FAR
from stock_volume.forecaster.model import FORECAST, quantile_name
from stock_volume.forecaster.universe import BUCKET, BUCKETS
from stock_volume.reporting.find import (
    find_calibration,
    find_next_session,
    find_unusual_sessions,
    find_worst_files,
    find_young,
)
from tests.unit.forecast_helpers import LEVELS, forecast_frame
from tests.unit.reporting.reported import (
    BACKTEST,
    findings_of,
    kinds_of,
    layers,
    metrics_of,
)

COMMON = BACKTEST.filter(COMMON_STOCK)
FINDINGS = findings_of()


@pytest.mark.parametrize("levels", [(0.1, 0.5, 0.9), (0.05, 0.1, 0.5, 0.9, 0.95)])
def test_calibration_counts_volumes_below_each_level(levels: tuple[float, ...]) -> None:
    """Of log-normal volumes with exact quantiles, as many are below each level as it says."""
    random = np.random.default_rng(0)
    middle, spread = random.normal(10, 2, 20_000), random.uniform(0.1, 1, 20_000)
    rows = pl.DataFrame(
        {
            columns.VOLUME: np.exp(middle + spread * random.standard_normal(20_000)),
            **{
                quantile_name(level): np.exp(middle + spread * NormalDist().inv_cdf(level))
                for level in levels
            },
        }
    )
    points = find_calibration(rows, levels)
    assert len(points) == (17 if levels[0] == 0.1 else 19)
    assert [point.level / 100 for point in points if point.trained] == pytest.approx(levels)
    for point in points:
        assert point.below == pytest.approx(point.level, abs=1.2)


def test_calibration_at_predicted_levels_is_the_share_up_to_the_quantile() -> None:
    """At the levels of the boosters nothing is interpolated."""
    volume = COMMON[columns.VOLUME].to_numpy()
    for point in FINDINGS.calibration:
        if point.trained:
            quantile = COMMON[quantile_name(point.level / 100)].to_numpy()
            assert point.below == pytest.approx(100 * np.mean(volume <= quantile))


def test_groups_have_the_measures_of_their_rows() -> None:
    """Buckets and kinds of security are measured as in the metrics, with intervals around."""
    metrics = metrics_of()
    assert {one.name: one.measures for one in FINDINGS.by_bucket} == metrics.by_bucket
    assert {one.name: one.measures for one in FINDINGS.by_security} == metrics.by_security
    for one in (*FINDINGS.by_bucket, *FINDINGS.by_month):
        if one.measures.sessions < 15:
            assert one.intervals_95 is None
            continue
        assert one.intervals_95 is not None
        assert one.intervals_95.eta_r2 is not None
        low, high = one.intervals_95.eta_r2
        assert low < high


def test_a_month_of_two_sessions_is_named_and_not_measured() -> None:
    """February has two sessions in the test, so that it is no month of its own."""
    assert [one.name for one in FINDINGS.by_month] == ["2018-11", "2018-12", "2019-01"]
    assert [(one.month, one.sessions) for one in FINDINGS.short_months] == [("2019-02", 2)]
    for one in FINDINGS.by_month:
        assert (
            one.measures.n
            == COMMON.filter(pl.col(columns.TARGET_DATE).dt.strftime("%Y-%m") == one.name).height
        )


def test_groups_of_the_same_rows_are_found_once() -> None:
    """With common stocks only, they are all symbols; the only bucket is one group."""
    findings = findings_of(COMMON.filter(pl.col(BUCKET) == 1))
    assert [one.name for one in findings.by_security] == ["common stocks = all symbols"]
    assert [one.name for one in findings.by_bucket] == [BUCKETS[1]]


def test_kinds_of_session_are_measured() -> None:
    """The early close is one session of all symbols; one session has no interval."""
    by_kind = {one.name: one for one in FINDINGS.by_session}
    assert set(by_kind) == {"Monday", "early close"}
    assert by_kind["early close"].measures.sessions == 1
    assert by_kind["early close"].intervals_95 is None
    assert by_kind["Monday"].intervals_95 is not None


def test_a_session_on_which_all_volumes_doubled_is_unusual() -> None:
    """The session that moved all symbols comes first, with its kind and the median error."""
    day = date(2018, 12, 24)
    on_day = pl.col(columns.TARGET_DATE) == day
    volume = pl.when(on_day).then(5 * pl.col(FORECAST)).otherwise(columns.VOLUME).cast(pl.Int64)
    rows = COMMON.with_columns(volume.alias(columns.VOLUME))
    first, *others = find_unusual_sessions(rows.join(kinds_of(rows), on=columns.TARGET_DATE))
    assert (first.session, first.kind) == (day, "early close")
    assert first.symbols == rows.filter(on_day).height
    assert first.median_error == pytest.approx(400, abs=0.5)
    errors = [abs(np.log1p(one.median_error / 100)) for one in others]
    assert errors == sorted(errors, reverse=True)


def test_a_session_of_few_symbols_is_not_unusual() -> None:
    """One symbol alone says nothing about a session."""
    day = pl.col(columns.TARGET_DATE) == date(2018, 12, 24)
    only = COMMON[columns.SYMBOL][0]
    rows = COMMON.filter(~day | (pl.col(columns.SYMBOL) == only))
    sessions = find_unusual_sessions(rows.with_columns(pl.lit("").alias(KIND)))
    assert date(2018, 12, 24) not in {one.session for one in sessions}


def test_the_next_session_has_its_most_unusual_forecasts() -> None:
    """Forecasts are in order of their change, of symbols above a million dollars if enough are."""
    found = find_next_session(layers())
    assert found is not None
    assert (found.symbols, found.earlier, found.min_dollars) == (12, 0, 0)
    assert [one.change for one in found.unusual] == pytest.approx(
        [100 * times for times in reversed(range(12))]
    )
    first = found.unusual[0]
    assert (first.symbol, first.name) == ("S11", "S11 Corp. - Warrants")
    assert first.forecast == pytest.approx(12 * first.usual)
    assert first.lower < first.forecast < first.upper


def test_no_forecast_is_no_next_session() -> None:
    """Where no symbol is live, there is no next session."""
    made = layers()
    assert find_next_session(made._replace(forecasts=made.forecasts.clear())) is None


def test_a_symbol_of_few_bars_is_young() -> None:
    """A symbol that was not scored and has no more bars than required is named with its bars."""
    features = forecast_frame(symbols=3, history=200).with_columns(
        (pl.col(BARS_SO_FAR) - 100 * (pl.col(columns.SYMBOL) == "S01")).alias(BARS_SO_FAR)
    )
    scored = pl.DataFrame({columns.SYMBOL: ["S00", "S02"]})
    young = find_young(features.lazy(), scored, 252)
    assert (young.count, young.min_bars) == (1, 252)
    assert [(one.symbol, one.bars) for one in young.first] == [("S01", 180)]
    assert find_young(features.lazy(), features, 252).count == 0


def test_the_worst_files_come_first_with_their_rules() -> None:
    """Files with rejected rows are listed by number, with the rules in order of frequency."""
    made = layers()
    worst = find_worst_files(made.files, made.quarantine)
    assert [(one.file, one.rows, one.quarantined) for one in worst] == [
        ("etfs/C.csv", 300, 5),
        ("stocks/A.csv", 100, 3),
    ]
    assert list(worst[0].rules.items()) == [("weekend_date", 4), ("high_below_low", 1)]


def test_examples_have_their_latest_forecasts() -> None:
    """Four symbols from the most to the least liquid, each with its forecasts in order."""
    assert len(FINDINGS.examples) == 4
    for one in FINDINGS.examples:
        rows = COMMON.filter(pl.col(columns.SYMBOL) == one.symbol)
        assert one.measures.n == rows.height
        assert [point.session for point in one.forecasts] == rows[columns.TARGET_DATE].to_list()
        assert [point.volume for point in one.forecasts] == rows[columns.VOLUME].to_list()


def test_findings_survive_json() -> None:
    """They are the same after writing and reading, with quantiles beyond the three."""
    assert type(FINDINGS).model_validate_json(FINDINGS.model_dump_json()) == FINDINGS
    assert LEVELS == (0.1, 0.5, 0.9)
