"""The monitoring as a whole, its nodes and its figure, on made-up symbols."""

import json
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from stock_volume import columns
from stock_volume.evaluation.backtest import BUCKET, COMMON_STOCK, FOLD, Fold, Plan
from stock_volume.evaluation.baselines import BASELINES, MA5
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import ETA
from stock_volume.forecaster.log import FORECASTER, TRAINED_TO, identity_of
from stock_volume.forecaster.model import FORECAST
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.monitoring.plots import FEATURES_SHOWN, drifts_shown, plot_monitoring
from stock_volume.monitoring.report import monitor
from stock_volume.monitoring.scoring import MADE, MEASURES
from stock_volume.pipelines.monitor.nodes import draw_monitoring, monitor_forecaster
from tests.unit.forecast_helpers import forecast_frame
from tests.unit.monitoring_helpers import IN_USE, bars_of, log_of, partitions_of

FEATURES: Final = forecast_frame(symbols=12, sessions=160)
SESSIONS: Final = FEATURES[columns.TARGET_DATE].unique().sort().to_list()
SPLIT: Final = SESSIONS[-31]
"""Last session of the backtest and of training: thirty follow, of which one has not come."""

GAINS: Final = {"size": 0.4, "volume_lag_0": 0.3, "return_lag_0": 0.2, "target_month": 0.1}
ABOUT: Final = {"first_session": str(SESSIONS[0]), "last_session": str(SPLIT)}
PARAMETERS: Final = MonitorParameters(window=10, least_forecasts=50, least_windows=5)
LATER: Final = pl.col(columns.TARGET_DATE) > SPLIT


def _backtest(of: pl.Expr) -> pl.DataFrame:
    """The backtest of some rows, by forecasts as good as those logged."""
    rows = FEATURES.filter(of & pl.col(ETA).is_not_null())
    log = log_of(rows, seed=2)
    ma5 = (rows[BASE].exp() / rows[columns.CLOSE]).alias(MA5)
    common = rows.select(pl.col(columns.SYMBOL).str.slice(1).cast(pl.Int64) % 4 < 2).to_series()
    return log.drop(TRAINED_TO, FORECASTER, MADE).with_columns(
        rows["next_volume"].alias(columns.VOLUME),
        ma5,
        rows[columns.CLOSE],
        rows[ETA],
        rows[columns.ETF],
        common.alias(COMMON_STOCK),
        *(ma5.alias(name) for name in BASELINES if name != MA5),
        pl.lit(0, dtype=pl.Int8).alias(BUCKET),
        pl.lit(0, dtype=pl.Int32).alias(FOLD),
    )


BACKTEST: Final = _backtest(~LATER)
"""Of the sessions up to the split."""
LOG: Final = log_of(FEATURES.filter(LATER)).with_columns(pl.lit(SPLIT).alias(TRAINED_TO))


def _monitored(
    log: pl.DataFrame = LOG,
    features: pl.DataFrame = FEATURES,
    backtest: pl.DataFrame = BACKTEST,
    trained_to: date = SPLIT,
    **changed: Any,
) -> dict[str, Any]:
    return monitor(
        partitions_of(log),
        (bars_of(FEATURES).lazy(), features.lazy(), backtest.lazy()),
        (IN_USE, ABOUT | {"last_session": str(trained_to)}, GAINS),
        1,
        PARAMETERS.model_copy(update=changed),
    )


REPORT: Final = _monitored()


def test_forecasts_as_good_as_the_backtest_are_ok() -> None:
    """Noise like that of the backtest is no reason."""
    assert REPORT["verdict"] == "ok", REPORT["reasons"]
    assert len(REPORT["reasons"]) == 2
    assert set(REPORT["compared"]) == set(MEASURES)


def test_the_window_is_the_last_sessions_that_came() -> None:
    """It ends with the latest bars, not with the session that is still to come."""
    assert REPORT["window"] == {
        "sessions": 10,
        "first": str(SESSIONS[-11]),
        "last": str(SESSIONS[-2]),
    }
    assert REPORT["errors"]["n"] == 6 * 10
    assert REPORT["errors"]["universe"] == "common stocks"
    assert REPORT["forecasts"]["compared"] == 60
    assert REPORT["forecasts"]["scored"] == 120
    assert REPORT["forecasts"]["not_come_true"] == 12
    assert REPORT["backtest"]["n"] == BACKTEST.filter(COMMON_STOCK).height
    assert REPORT["forecasts"]["windows"] == BACKTEST[columns.TARGET_DATE].n_unique() - 9


def test_the_series_reaches_back_three_windows() -> None:
    """Sessions before the window are shown, not judged."""
    days = [one["session"] for one in REPORT["by_session"]]
    assert days == [str(day) for day in SESSIONS[-30:-1]]


def test_the_report_is_plain_json() -> None:
    """What cannot be said in JSON is null; nothing but JSON's own types is left."""
    assert json.loads(json.dumps(REPORT, allow_nan=False)) == REPORT


def test_an_infinite_error_is_null_in_json() -> None:
    """A forecast that is no number ruins its window, and leaves the file readable."""
    broken = pl.col(columns.TARGET_DATE) == SESSIONS[-5]
    infinite = pl.when(broken).then(float("inf")).otherwise(FORECAST).alias(FORECAST)
    report = _monitored(LOG.with_columns(infinite))
    assert report["verdict"] == "retrain"
    assert report["errors"]["rmse"] is None
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_worse_forecasts_are_to_retrain() -> None:
    """Forecasts that have lost their skill, and err much more, are told."""
    report = _monitored(log_of(FEATURES.filter(LATER), noise=1.5, skill=0.0))
    assert report["verdict"] == "retrain"
    assert any(reason.startswith("eta-R2 is") for reason in report["reasons"])
    assert report["compared"]["rmse"]["times_as_far_out"] > 1.25
    assert report["compared"]["rmse"]["unusual"]


def test_only_the_window_is_judged() -> None:
    """Bad forecasts before the window change nothing but the series."""
    bad = pl.when(pl.col(columns.TARGET_DATE) < SESSIONS[-11]).then(100.0).otherwise(1.0)
    report = _monitored(LOG.with_columns(pl.col(FORECAST) * bad))
    assert report["verdict"] == "ok"
    assert report["errors"] == REPORT["errors"]
    assert report["by_session"][0] != REPORT["by_session"][0]
    assert report["by_session"][-10:] == REPORT["by_session"][-10:]


FRESH: Final = pl.col(columns.TARGET_DATE) > SESSIONS[-5]
"""The last three sessions that came, and the next, by a forecaster trained up to them."""

RETRAINED: Final = LOG.with_columns(
    pl.when(FRESH).then(FORECASTER).otherwise(pl.lit("fedcba9876543210")).alias(FORECASTER),
    pl.when(FRESH).then(FORECAST).otherwise(pl.col(FORECAST) * 100).alias(FORECAST),
)


def test_a_fresh_forecaster_is_not_blamed_for_the_one_before() -> None:
    """Bad forecasts of its predecessor are counted, and nothing else."""
    report = _monitored(RETRAINED, least_forecasts=18)
    assert report["verdict"] == "ok", report["reasons"]
    assert report["errors"]["n"] == 6 * 3
    assert report["forecasts"]["by_other_forecasters"] == 12 * 7
    assert [one["session"] for one in report["by_session"]] == list(map(str, SESSIONS[-4:-1]))
    blamed = _monitored(RETRAINED.with_columns(pl.lit(IN_USE).alias(FORECASTER)))
    assert blamed["verdict"] == "retrain"


def test_a_fresh_forecaster_with_few_forecasts_is_not_judged_by_them() -> None:
    """What is too little is said, with how many of others were left out."""
    report = _monitored(RETRAINED)
    assert report["verdict"] == "watch"
    assert report["compared"] == {}
    (reason,) = report["reasons"]
    assert reason.startswith("only 18 forecasts")
    assert reason.endswith("; 84 made by other forecasters are left out")


@pytest.mark.parametrize(("log", "judged"), [(LOG, 10), (RETRAINED, 3)], ids=["full", "fresh"])
def test_judged_sessions_are_not_compared_with_themselves(log: pl.DataFrame, judged: int) -> None:
    """A backtest made since then has their sessions; those that are not judged stay in it."""
    since = _backtest(pl.lit(value=True))
    before = since.filter(pl.col(columns.TARGET_DATE) < SESSIONS[-1 - judged])
    report = _monitored(log, backtest=since, least_forecasts=18)
    assert report["compared"]
    assert report["backtest"]["n"] == before.filter(COMMON_STOCK).height
    assert report == _monitored(log, backtest=before, least_forecasts=18)


@pytest.mark.parametrize(
    ("trained_to", "verdict"), [(SESSIONS[-11], "retrain"), (SESSIONS[-10], "watch")]
)
def test_inputs_that_training_has_seen_do_not_ask_for_training(
    trained_to: date, verdict: str
) -> None:
    """Whoever trains by the verdict would train anew each evening, and change nothing."""
    moved = pl.when(pl.col(columns.TARGET_DATE) > SESSIONS[-11]).then(9.0).otherwise(0.0)
    features = FEATURES.with_columns((pl.col("size") + moved).cast(pl.Float32))
    report = _monitored(features=features, trained_to=trained_to, gain_retrain=0.4)
    assert report["verdict"] == verdict
    assert ("the training has seen 1 of the sessions" in report["reasons"][0]) == (
        verdict == "watch"
    )


def test_a_log_that_training_had_seen_is_watched() -> None:
    """Forecasts of sessions that the model was trained on do not count."""
    report = _monitored(LOG.with_columns(pl.lit(SESSIONS[-1]).alias(TRAINED_TO)))
    assert report["verdict"] == "watch"
    assert "of sessions that the model was trained on" in report["reasons"][0]
    assert report["errors"]["n"] == 0
    assert report["compared"] == {}


def test_without_a_log_the_inputs_are_judged_still() -> None:
    """An empty log is watched, in plain words, and the features are measured."""
    report = _monitored(LOG.clear())
    assert report["verdict"] == "watch"
    assert report["reasons"][0].startswith("no forecast has come true yet: the log has none")
    assert report["by_session"] == []
    assert len(report["drift"]["by_feature"]) == len(GAINS)
    assert report["drift"]["comparable"]


def test_too_few_forecasts_are_not_compared() -> None:
    """The least number of forecasts stands before any comparison of errors."""
    report = _monitored(least_forecasts=61)
    assert report["compared"] == {}
    assert report["reasons"][0].startswith("only 60 forecasts")
    assert _monitored(least_forecasts=60)["compared"]


def test_inputs_that_moved_are_told() -> None:
    """A feature that makes two fifths of the gain, and moves far, is watched."""
    moved = pl.when(pl.col(columns.TARGET_DATE) > SESSIONS[-11]).then(9.0).otherwise(0.0)
    report = _monitored(features=FEATURES.with_columns((pl.col("size") + moved).cast(pl.Float32)))
    assert report["verdict"] == "watch"
    assert report["drift"]["moved_far_gain"] == pytest.approx(40)
    assert report["reasons"][0].startswith("1 of 3 features, which make 40.0 %")


def test_new_symbols_are_scored_beside_known_ones() -> None:
    """A symbol that the backtest does not know counts, and changes no reference."""
    new = FEATURES.filter(pl.col(columns.SYMBOL) == "S00").with_columns(
        pl.lit("NEW").alias(columns.SYMBOL)
    )
    features = pl.concat([FEATURES, new])
    log = pl.concat([LOG, log_of(new.filter(LATER))])
    report = monitor(
        partitions_of(log),
        (bars_of(features).lazy(), features.lazy(), BACKTEST.lazy()),
        (IN_USE, ABOUT, GAINS),
        1,
        PARAMETERS,
    )
    assert report["errors"]["n"] == 70
    assert report["errors"]["symbols"] == 7
    assert report["backtest"] == REPORT["backtest"]


def test_nodes_measure_and_draw() -> None:
    """The nodes hand on what the forecaster and the backtest's plan tell."""

    class Stub:
        about: Final = ABOUT

        @staticmethod
        def importance() -> dict[str, float]:
            return GAINS

        @staticmethod
        def to_files() -> dict[str, str]:
            return {"mean_0.txt": "trees"}

    fold = Fold(
        train_start=date(2018, 1, 2), train_end=SPLIT, test_start=SPLIT, test_end=SESSIONS[-1]
    )
    plan = Plan(folds=(fold,), least_sessions=1, note="")
    frames = (bars_of(FEATURES).lazy(), FEATURES.lazy(), BACKTEST.lazy())
    forecaster: Any = Stub()
    log = partitions_of(LOG.with_columns(pl.lit(identity_of(forecaster)).alias(FORECASTER)))
    report = monitor_forecaster(log, *frames, plan, forecaster, PARAMETERS)
    assert report == REPORT
    plan = plan.model_copy(update={"least_sessions": 10**6})
    none = monitor_forecaster(log, *frames, plan, forecaster, PARAMETERS)
    assert none["errors"]["n"] == 0
    assert draw_monitoring(report).layout.title.text.endswith(": ok")


def _traces(report: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {
        (trace.name, trace.yaxis): trace
        for trace in plot_monitoring(report).data
        if trace.name is not None
    }


def test_the_figure_shows_sessions_window_and_band() -> None:
    """Both panels of errors have a point a session, the window's value, and the usual range."""
    traces = _traces(REPORT)
    days = [one["session"] for one in REPORT["by_session"]]
    for axis, measure in (("y", "eta_r2"), ("y2", "coverage_80")):
        points = traces["a session", axis]
        assert list(points.x) == days
        assert list(points.y) == [one[measure] for one in REPORT["by_session"]]
        window = traces["the window that is judged", axis]
        assert list(window.x) == [REPORT["window"]["first"], REPORT["window"]["last"]]
        assert set(window.y) == {REPORT["compared"][measure]["value"]}
        assert set(traces["usual windows of the backtest", axis].y) == {
            REPORT["compared"][measure]["low"]
        }


def test_the_figure_shows_features_by_their_index() -> None:
    """Features that moved and those that did not are apart, each with its usual highest."""
    drift = [
        {"feature": f"f{place:02}", "kind": "symbol", "psi": 0.01 * place, "usual": 0.1, "gain": 0}
        for place in range(20)
    ]
    drift += [
        {"feature": "calm market", "kind": "market", "psi": 5.0, "usual": 6.0, "gain": 0},
        {"feature": "market", "kind": "market", "psi": 7.0, "usual": 6.0, "gain": 0},
        {"feature": "year", "kind": "calendar", "psi": 9.0, "usual": 0.0, "gain": 0},
        {"feature": "unknown", "kind": "symbol", "psi": None, "usual": None, "gain": 0},
        {"feature": "new", "kind": "symbol", "psi": 8.0, "usual": None, "gain": 0},
    ]
    report = REPORT | {"drift": {"by_feature": drift}}
    shown = [one["feature"] for one in drifts_shown(report)]
    assert shown == ["new", "market", *(f"f{place:02}" for place in range(19, 6, -1))]
    assert len(shown) == FEATURES_SHOWN
    traces = _traces(report)
    moved = set(traces["a feature that moved", "y3"].y)
    assert moved == {"market", *(f"f{place:02}" for place in range(11, 20))}
    assert set(traces["a feature that did not", "y3"].y) == set(shown) - moved
    assert set(traces["its highest in training", "y3"].y) == set(shown)


def test_the_figure_is_plain_without_forecasts() -> None:
    """Where nothing came true, the panels say so."""
    figure = plot_monitoring(_monitored(LOG.clear()))
    texts = [note.text for note in figure.layout.annotations]
    assert texts.count("no forecast has come true yet") == 2
    assert figure.layout.title.text.endswith(": watch")


def test_the_figure_shows_sessions_that_are_too_few_to_judge() -> None:
    """Points without a comparison are drawn alone."""
    traces = _traces(_monitored(least_forecasts=10**6))
    assert len(traces["a session", "y"].x) == 29
    assert ("the window that is judged", "y") not in traces


def test_an_idle_window_leaves_the_report_whole() -> None:
    """Volumes of zero throughout the window are no scores, and no error."""
    bars = bars_of(FEATURES).with_columns(
        pl.when(pl.col(columns.DATE) >= SESSIONS[-11])
        .then(0)
        .otherwise(columns.VOLUME)
        .alias(columns.VOLUME)
    )
    report = monitor(
        partitions_of(LOG),
        (bars.lazy(), FEATURES.lazy(), BACKTEST.lazy()),
        (IN_USE, ABOUT, GAINS),
        1,
        PARAMETERS,
    )
    assert report["verdict"] == "watch"
    assert report["forecasts"]["not_come_true"] == 11 * 12
    assert len(report["by_session"]) == 19
    assert plot_monitoring(report).data
    assert np.isfinite(report["by_session"][0]["rmse"])
