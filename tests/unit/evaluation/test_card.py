"""Figures, report and card of the forecaster show what was measured."""

import re
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from stock_volume import columns
from stock_volume.arrays import Floats
from stock_volume.evaluation.backtest import Plan
from stock_volume.evaluation.baselines import BASELINES
from stock_volume.evaluation.card import report_forecaster, write_card
from stock_volume.evaluation.groups import COMMON_STOCK
from stock_volume.evaluation.measures import evaluate_backtest
from stock_volume.evaluation.plots import (
    plot_calibration,
    plot_errors,
    plot_importance,
    plot_reliability,
    plot_symbols,
)
from stock_volume.evaluation.results import BacktestMetrics, PointMetrics
from stock_volume.features.registry import ETA
from stock_volume.forecaster.model import FORECAST, MA5, TrainingSummary, quantile_name
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.forecaster.universe import BUCKET, BUCKETS
from tests.unit.forecast_helpers import LEVELS, backtest_frame, opened, scored

ROWS: Final = backtest_frame(symbols=18)
COMMON: Final = ROWS.filter(pl.col(COMMON_STOCK))
PLAN: Final = Plan.model_validate(
    {
        "folds": [
            {
                "train_start": "2015-01-02",
                "train_end": "2018-11-12",
                "test_start": "2018-11-13",
                "test_end": "2018-12-31",
            },
            {
                "train_start": "2015-02-02",
                "train_end": "2018-12-31",
                "test_start": "2019-01-01",
                "test_end": "2019-02-04",
            },
        ],
        "min_sessions": 252,
        "note": "The features start late.",
    }
)
TRAINING: Final = TrainingSummary(
    first_session=date(2016, 2, 5),
    last_session=date(2019, 2, 4),
    validated_from=date(2018, 7, 2),
    rows=1_234_567,
    symbols=2_345,
    trees=321,
    parameters=ForecasterParameters(boosters=3, quantiles=(0.1, 0.5, 0.9)),
)
FEATURES: Final = ("abnormal_lag_0",)
SOME_ROWS: Final = [
    pytest.param(ROWS, id="many"),
    pytest.param(ROWS.filter(pl.col(columns.SYMBOL) == "S00"), id="one-symbol"),
    pytest.param(ROWS.filter(pl.col(columns.ETF)), id="no-common-stock"),
    pytest.param(ROWS.head(3), id="three-rows"),
    pytest.param(ROWS.head(1), id="one-row"),
]


def _metrics(rows: pl.DataFrame = ROWS, note: str = PLAN.note) -> BacktestMetrics:
    plan = PLAN.model_copy(update={"note": note})
    layers = scored(rows, openings=opened(rows))
    return evaluate_backtest(layers, plan, LEVELS, BacktestParameters(resamples=50))


METRICS: Final = _metrics()


def _eta(rows: pl.DataFrame) -> Floats:
    """Forecast of eta."""
    eta: Floats = np.log(rows[FORECAST].to_numpy() / rows[MA5].to_numpy())
    return eta


def _eta_r2(rows: pl.DataFrame) -> float:
    eta = rows[ETA].to_numpy()
    return float(100 * (1 - np.sum((eta - _eta(rows)) ** 2) / np.sum(eta**2)))


def _traces(figure: Any) -> dict[str, tuple[list[Any], list[Any]]]:
    """Points of a figure's lines, by name."""
    return {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}


def _tables(text: str) -> list[list[list[str]]]:
    """Cells of the rows of each table, its head and the line below it among them."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
        for lines in (block.splitlines() for block in blocks)
    ]


def test_calibration_draws_shares_below_each_quantile() -> None:
    """A line a bucket has, by level, the share of the common stocks' volumes below it."""
    traces = _traces(plot_calibration(ROWS.lazy(), LEVELS))
    assert traces.pop("calibrated") == ([0, 100], [0, 100])
    assert tuple(traces) == BUCKETS
    for number, (levels, below) in enumerate(traces.values()):
        rows = COMMON.filter(pl.col(BUCKET) == number)
        volume = rows[columns.VOLUME].to_numpy()
        shares = [
            100 * np.mean(volume <= rows[quantile_name(level)].to_numpy()) for level in LEVELS
        ]
        assert levels == pytest.approx([10, 50, 90])
        assert below == pytest.approx(shares)


def test_calibration_draws_the_buckets_that_are_there() -> None:
    """A bucket without rows has no line."""
    rows = ROWS.filter(pl.col(BUCKET).is_in([1, 4]))
    traces = _traces(plot_calibration(rows.lazy(), LEVELS))
    assert list(traces) == [BUCKETS[1], BUCKETS[4], "calibrated"]


def test_reliability_draws_twentieths() -> None:
    """Each point is the means of a twentieth of the rows, in order of the forecast."""
    points, diagonal = plot_reliability(ROWS.lazy()).data
    order = np.argsort(_eta(COMMON))
    parts = np.array_split(order, 20)
    assert COMMON.height % 20 == 0
    eta = COMMON[ETA].to_numpy()
    assert list(points.x) == pytest.approx([_eta(COMMON)[part].mean() for part in parts])
    assert list(points.y) == pytest.approx([eta[part].mean() for part in parts])
    assert list(diagonal.x) == list(diagonal.y) == [points.x[0], points.x[-1]]


def test_errors_are_drawn_by_month() -> None:
    """Each line has eta-R2 of the months that its rows are of, in order, without a short one."""
    traces = _traces(plot_errors(ROWS.lazy()))
    assert tuple(traces) == ("all", *BUCKETS)
    february = COMMON.filter(pl.col(columns.TARGET_DATE) >= date(2019, 2, 1))
    assert february[columns.TARGET_DATE].n_unique() == 2
    for name, (months, values) in traces.items():
        rows = COMMON if name == "all" else COMMON.filter(pl.col(BUCKET) == BUCKETS.index(name))
        rows = rows.filter(pl.col(columns.TARGET_DATE) < date(2019, 2, 1))
        by_month = rows.group_by(pl.col(columns.TARGET_DATE).dt.strftime("%Y-%m-01").alias("month"))
        expected = {str(month): _eta_r2(part) for (month,), part in by_month}
        assert months == sorted(expected) == sorted(months)
        assert values == pytest.approx([expected[month] for month in months])
    assert traces["all"][0] == ["2018-11-01", "2018-12-01", "2019-01-01"]


def test_errors_are_drawn_of_the_buckets_that_are_there() -> None:
    """A bucket without rows has no line."""
    rows = ROWS.filter(pl.col(BUCKET) == 2)
    assert list(_traces(plot_errors(rows.lazy()))) == ["all", BUCKETS[2]]


def test_importance_draws_the_first_thirty() -> None:
    """The thirty features of the largest shares are bars, in per cent, the largest on top."""
    shares = np.random.default_rng(0).dirichlet(np.ones(50))
    importance = {f"feature_{number}": float(share) for number, share in enumerate(shares)}
    (bars,) = plot_importance(importance).data
    assert list(bars.x) == pytest.approx(sorted(100 * shares)[-30:])
    assert [importance[name] * 100 for name in bars.y] == pytest.approx(list(bars.x))


def test_importance_of_few_features_draws_all() -> None:
    """With less than thirty features there is a bar of each."""
    (bars,) = plot_importance({"a": 0.25, "b": 0.75}).data
    assert (list(bars.y), list(bars.x)) == (["a", "b"], [25.0, 75.0])


def _dollars(rows: pl.DataFrame, symbol: str) -> float:
    of_symbol = rows.filter(pl.col(columns.SYMBOL) == symbol)
    return float(np.median(of_symbol[MA5].to_numpy() * of_symbol[columns.CLOSE].to_numpy()))


def test_symbols_are_drawn_from_the_most_to_the_least_liquid() -> None:
    """Of the ranks by dollar volume the first, the last and two between have a panel."""
    figure = plot_symbols(ROWS.lazy())
    shown = [note.text for note in figure.layout.annotations]
    ranked = sorted(set(COMMON[columns.SYMBOL]), key=lambda symbol: -_dollars(COMMON, symbol))
    assert len(ranked) == 10
    assert shown == [ranked[place] for place in (0, 3, 6, 9)]


def test_panels_have_volume_forecast_and_band() -> None:
    """Each panel has the symbol's last sessions of the four columns, in order of time."""
    rows = backtest_frame(symbols=6, sessions=150)
    figure = plot_symbols(rows.lazy())
    shown = [note.text for note in figure.layout.annotations]
    assert len(figure.data) == 4 * len(shown)
    for place, symbol in enumerate(shown):
        last = rows.filter(pl.col(columns.SYMBOL) == symbol).tail(120)
        lines = figure.data[4 * place : 4 * place + 4]
        for line, name in zip(lines, ("q90", "q10", FORECAST, columns.VOLUME), strict=True):
            assert list(line.x) == [str(day) for day in last[columns.TARGET_DATE]]
            assert list(line.y) == last[name].to_list()
        axes = {line.yaxis for line in lines}
        assert axes == {"y" if place == 0 else f"y{place + 1}"}


def test_symbols_that_are_gone_are_not_drawn() -> None:
    """Only symbols that were scored on the last session have a panel."""
    days = COMMON[columns.TARGET_DATE].unique().sort()
    rows = COMMON.filter(
        (pl.col(columns.SYMBOL) == "S05") | (pl.col(columns.TARGET_DATE) < days[-1])
    )
    (note,) = plot_symbols(rows.lazy()).layout.annotations
    assert note.text == "S05"


@pytest.mark.parametrize("rows", SOME_ROWS)
def test_figures_are_drawn_of_whatever_there_is(rows: pl.DataFrame) -> None:
    """Few rows, symbols or buckets are drawn, too; a line has as many points as places."""
    backtest = rows.lazy()
    figures = [
        plot_calibration(backtest, LEVELS),
        plot_reliability(backtest),
        plot_errors(backtest),
        plot_symbols(backtest),
    ]
    for figure in figures:
        assert figure.data
        for trace in figure.data:
            assert len(trace.x) == len(trace.y) > 0
            assert np.isfinite(np.array(trace.y, dtype=np.float64)).all()


def test_figures_are_of_all_symbols_where_none_is_common() -> None:
    """Without common stocks the rows of all symbols are drawn."""
    rows = ROWS.filter(~pl.col(COMMON_STOCK))
    (_, values) = _traces(plot_errors(rows.filter(pl.col("fold") == 0).lazy()))["all"]
    first = rows.filter(pl.col(columns.TARGET_DATE).dt.month() == 11)
    assert values[0] == pytest.approx(_eta_r2(first))


def _figures(measures: PointMetrics) -> list[str]:
    """Format a group's cells in a table, without its name."""
    return [
        f"{measures.eta_r2:.2f}",
        f"{measures.level_r2:.2f}",
        f"{measures.mdape:.1f}",
        f"{measures.mae:,.0f}",
        f"{measures.qlike:.3f}",
        f"{measures.ale:.3f}",
    ]


def test_report_has_a_row_of_each_forecast() -> None:
    """The table has the forecaster first, then each baseline, with their figures."""
    ((_, _, *rows),) = _tables(report_forecaster(METRICS))
    assert rows == [
        ["**forecaster**", *_figures(METRICS)],
        *([name, *_figures(METRICS.baselines[name])] for name in BASELINES),
    ]


@pytest.mark.parametrize(
    "words",
    [
        f"Backtest on common stocks: {COMMON.height:,} symbol-days of 10",
        "symbols, 2018-11-13 to 2019-02-04, each forecast by a model",
        "The features start late.",
        f"**eta-R² {METRICS.eta_r2:.2f} %** (95 % interval ",
        "{:.2f} to {:.2f})".format(*METRICS.intervals_95.eta_r2 or ()),
        f"{METRICS.coverage_80:.1f} % of the volumes fell between quantiles 0.1 and",
        f"{METRICS.below_q50:.1f} % below the median",
    ],
)
def test_report_has_the_figures(words: str) -> None:
    """The report has universe, window, note, headline with interval and coverage as measured."""
    assert words in report_forecaster(METRICS)


@pytest.mark.parametrize(
    "words",
    [
        "3 LightGBM booster(s) of 321 trees for the mean of eta",
        "(0.1, 0.5, 0.9)",
        "1,234,567 symbol-days of 2,345 symbols, sessions 2016-02-05\nto 2019-02-04",
        "the sessions from 2018-07-02 on chose the number of\ntrees",
        "Revision of the code: 0123abc.",
        f"error of eta is {METRICS.bias:+.4f} (below 0: forecasts are too high)",
        "| 2015-01-02 to 2018-11-12 | 2018-11-13 to 2018-12-31 |",
        "| 2015-02-02 to 2018-12-31 | 2019-01-01 to 2019-02-04 |",
    ],
)
def test_card_has_the_figures(words: str) -> None:
    """The card has the training, the windows and the bias as given."""
    assert words in write_card(METRICS, TRAINING, FEATURES, "0123abc")


def test_card_holds_the_report() -> None:
    """The card's figures of the backtest are the report's."""
    assert report_forecaster(METRICS) in write_card(METRICS, TRAINING, FEATURES, "0123abc")


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (FEATURES, "It knows no news, and no earnings dates except"),
        ((*FEATURES, "schedule_reaction"), "It knows no news except the dates of earnings"),
    ],
    ids=["without-events", "with-events"],
)
def test_card_says_whether_the_forecaster_knows_earnings(
    features: tuple[str, ...], words: str
) -> None:
    """A forecaster with features of events knows dates of earnings, and another does not."""
    card = write_card(METRICS, TRAINING, features, "")
    assert words in card
    assert card.count("It knows no news") == 1
    assert not re.search(r"[^\n]- ", card)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (1, "by_bucket"),
        (2, "by_occasion"),
        (3, "by_variability"),
        (6, "by_security"),
        (7, "by_year"),
    ],
)
def test_card_has_a_row_of_each_group(place: int, name: str) -> None:
    """Each group of the figures is a row of its table, with its count and coverage."""
    _, _, *rows = _tables(write_card(METRICS, TRAINING, FEATURES, ""))[place]
    assert rows == [
        [group, f"{measures.n:,}", *_figures(measures), f"{measures.coverage_80:.1f}"]
        for group, measures in getattr(METRICS, name).items()
    ]


def test_card_skips_groups_without_rows() -> None:
    """A group that was counted as empty has no row, and every other has."""
    metrics = _metrics(ROWS.filter(pl.col(BUCKET) != 2))
    assert metrics.by_bucket[BUCKETS[2]].n == 0
    _, buckets, *_ = _tables(write_card(metrics, TRAINING, FEATURES, ""))
    assert [row[0] for row in buckets[2:]] == [*BUCKETS[:2], *BUCKETS[3:]]


def test_groups_of_the_same_rows_are_one_row() -> None:
    """Where all symbols are common stocks, the two groups have one row; others keep theirs."""
    card = write_card(_metrics(COMMON), TRAINING, FEATURES, "")
    assert "All rows are in one group: common stocks = all symbols." in card
    assert "| securities |" not in card
    assert f"| {BUCKETS[0]} |" in card


def test_card_compares_forecasts_at_the_open_with_those_before() -> None:
    """A row for all, for each bucket and for each size of gap, before and at the open."""
    at_open = METRICS.at_open
    assert at_open is not None
    card = write_card(METRICS, TRAINING, FEATURES, "")
    tables = [table for table in _tables(card) if "at the open" in table[0]]
    for table, groups in zip(
        tables, ({"all": at_open, **at_open.by_bucket}, at_open.by_gap), strict=True
    ):
        for row, (name, group) in zip(table[2:], groups.items(), strict=True):
            assert row[:2] == [name, f"{group.n:,}"]
            measures = (group.before.eta_r2, group.eta_r2)
            assert [float(cell) for cell in row[2:4]] == pytest.approx(measures, abs=0.005)
            coverages = (group.before.coverage_80, group.coverage_80)
            assert [float(cell) for cell in row[4:]] == pytest.approx(coverages, abs=0.05)


def test_card_without_opening_prices_has_no_such_section() -> None:
    """Where no opening price is known there is nothing to compare."""
    metrics = METRICS.model_copy(update={"at_open": None})
    assert "At the open" not in write_card(metrics, TRAINING, FEATURES, "")


@pytest.mark.parametrize("rows", SOME_ROWS[:-1])
def test_tables_are_well_formed(rows: pl.DataFrame) -> None:
    """In each table every row has as many cells as the head, and none is empty or no number."""
    card = write_card(_metrics(rows, note=""), TRAINING, FEATURES, "0123abc")
    tables = _tables(card)
    assert len(tables) >= 2
    for head, line, *lines in tables:
        assert all(re.fullmatch(r"-+:?", cell) for cell in line)
        assert lines
        for row in (head, line, *lines):
            assert len(row) == len(head)
            assert all(row)
    assert not re.search(r"\b(nan|inf|None|null)\b", card)


@pytest.mark.parametrize("note", ["", "The features start late."], ids=["no-note", "note"])
@pytest.mark.parametrize("rows", SOME_ROWS)
def test_card_is_tidy(rows: pl.DataFrame, note: str) -> None:
    """No line ends in a space, no two blank ones follow each other, a heading has one before it."""
    card = write_card(_metrics(rows, note=note), TRAINING, FEATURES, "0123abc")
    assert not re.search(r"[ \t]$", card, re.MULTILINE)
    assert "\n\n\n" not in card
    assert not re.search(r"[^\n]\n#", card)
    assert re.search(r"[^\n]\n\Z", card)


@pytest.mark.parametrize("rows", SOME_ROWS)
def test_coverage_is_always_reported(rows: pl.DataFrame) -> None:
    """However few rows there are, the report has the coverage of the interval and the median."""
    metrics = _metrics(rows)
    report = report_forecaster(metrics)
    assert f"{metrics.coverage_80:.1f} % of the volumes fell between quantiles 0.1 and" in report
    assert f"{metrics.below_q50:.1f} % below the median" in report


def test_card_of_a_single_row_says_that_the_level_is_undefined() -> None:
    """A group of one row has every figure but the R2 of a level, and the card says why."""
    metrics = _metrics(ROWS.head(1)).model_copy(update={"at_open": None})
    card = write_card(metrics, TRAINING, FEATURES, "")
    assert not re.search(r"\b(nan|inf|None|null)\b", card)
    *tables, _ = _tables(card)
    assert len(tables) == 1
    assert card.count("All rows are in one group: ") == 5
    for head, _, *lines in tables:
        assert lines
        for row in lines:
            empty = [name for name, cell in zip(head, row, strict=True) if cell == "undefined"]
            assert empty == ["level R² %"]
            assert all(row)
    assert "Undefined: the volumes do not vary." in card


def test_card_of_varying_volumes_has_nothing_undefined() -> None:
    """Where every measure has a value the card has no word of undefined ones."""
    assert "ndefined" not in write_card(METRICS, TRAINING, FEATURES, "")


def test_card_of_constant_volumes_says_that_they_do_not_vary() -> None:
    """Where nothing varies the headline is a word, and the card says why."""
    constant = ROWS.with_columns(
        pl.lit(50_000).cast(pl.Int64).alias(columns.VOLUME),
        pl.lit(20.0).alias(columns.CLOSE),
        *(pl.lit(50_000.0).alias(name) for name in (MA5, FORECAST)),
        pl.lit(0.0).alias(ETA),
    )
    metrics = _metrics(constant)
    for text in (report_forecaster(metrics), write_card(metrics, TRAINING, FEATURES, "")):
        assert "**eta-R² is undefined**" in text
        assert "Undefined: the volumes do not vary." in text
        assert not re.search(r"\b(nan|inf|None|null)\b", text)
