"""The monitoring from a log to a report, and its nodes, on made-up symbols."""

import json
import math
import subprocess
import sys
from datetime import date
from typing import Any, Final

import polars as pl
import pytest

from stock_volume import columns
from stock_volume.evaluation.backtest import Fold, Plan
from stock_volume.evaluation.baselines import BASELINES
from stock_volume.evaluation.groups import COMMON_STOCK, FOLD
from stock_volume.features.quantities import BASE
from stock_volume.features.registry import ETA
from stock_volume.forecaster.log import FORECASTER, TRAINED_TO, identity_of
from stock_volume.forecaster.model import FORECAST, MA5, TrainingSummary
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.universe import BUCKET
from stock_volume.monitoring.monitor import Layers, MonitoredForecaster, monitor
from stock_volume.monitoring.parameters import MonitorParameters
from stock_volume.monitoring.report import Measure, MonitoringReport, Period, Window
from stock_volume.monitoring.scoring import MADE
from stock_volume.pipelines.monitor.nodes import draw_monitoring, monitor_forecaster
from tests.unit.forecast_helpers import forecast_frame
from tests.unit.monitoring_helpers import IN_USE, make_bars, make_log, partition_log

FEATURES: Final = forecast_frame(symbols=12, sessions=160)
SESSIONS: Final = FEATURES[columns.TARGET_DATE].unique().sort().to_list()
SPLIT: Final = SESSIONS[-31]
"""Last session of the backtest and of training: thirty follow, the last without bars."""

GAINS: Final = {"size": 0.4, "volume_lag_0": 0.3, "return_lag_0": 0.2, "target_month": 0.1}
PARAMETERS: Final = MonitorParameters(window=10, min_forecasts=50, min_windows=5)
LATER: Final = pl.col(columns.TARGET_DATE) > SPLIT


def _backtest(sessions: pl.Expr) -> pl.DataFrame:
    """Make a backtest of some rows, with forecasts as good as the logged ones."""
    rows = FEATURES.filter(sessions & pl.col(ETA).is_not_null())
    log = make_log(rows, seed=2)
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
"""The sessions up to the split."""
LOG: Final = make_log(FEATURES.filter(LATER)).with_columns(pl.lit(SPLIT).alias(TRAINED_TO))


def _monitor(
    log: pl.DataFrame = LOG,
    *,
    bars: pl.DataFrame | None = None,
    features: pl.DataFrame = FEATURES,
    backtest: pl.DataFrame = BACKTEST,
    trained_to: date = SPLIT,
    **changed: Any,
) -> MonitoringReport:
    prices = make_bars(features) if bars is None else bars
    return monitor(
        partition_log(log),
        Layers(prices.lazy(), features.lazy(), backtest.lazy(), min_sessions=1),
        MonitoredForecaster(IN_USE, Period(first=SESSIONS[0], last=trained_to), GAINS),
        PARAMETERS.model_copy(update=changed),
    )


def _list_sessions(report: MonitoringReport) -> list[date]:
    return [errors.session for errors in report.by_session]


REPORT: Final = _monitor()


def test_forecasts_as_good_as_the_backtest_are_ok() -> None:
    """Noise like that of the backtest is no finding."""
    assert REPORT.verdict == "ok", REPORT.reasons
    assert len(REPORT.reasons) == 2
    assert set(REPORT.comparisons) == set(Measure)


def test_the_window_is_the_latest_sessions_with_bars() -> None:
    """It ends with the latest bars, not with the next session."""
    assert REPORT.window == Window(first=SESSIONS[-11], last=SESSIONS[-2], sessions=10)
    assert REPORT.errors.n == 6 * 10
    assert REPORT.errors.universe == "common stocks"
    assert REPORT.forecasts.compared == 60
    assert REPORT.forecasts.scored == 120
    assert REPORT.forecasts.without_outcome == 12
    assert REPORT.backtest.n == BACKTEST.filter(COMMON_STOCK).height
    assert REPORT.forecasts.backtest_windows == BACKTEST[columns.TARGET_DATE].n_unique() - 9


def test_the_series_covers_three_windows() -> None:
    """Sessions before the window are reported, not judged."""
    assert _list_sessions(REPORT) == SESSIONS[-30:-1]


def test_the_report_survives_json() -> None:
    """The catalog writes the report as JSON without NaN, and reads the same report back."""
    text = json.dumps(REPORT.model_dump(mode="json"), allow_nan=False)
    assert MonitoringReport.model_validate_json(text) == REPORT


def test_an_infinite_error_is_null_in_json() -> None:
    """An infinite forecast ruins its window, and leaves the file readable."""
    broken = pl.col(columns.TARGET_DATE) == SESSIONS[-5]
    infinite = pl.when(broken).then(float("inf")).otherwise(FORECAST).alias(FORECAST)
    report = _monitor(LOG.with_columns(infinite))
    assert report.verdict == "retrain"
    assert report.errors.rmse == math.inf
    written = json.loads(json.dumps(report.model_dump(mode="json"), allow_nan=False))
    assert written["errors"]["rmse"] is None
    read = MonitoringReport.model_validate(written)
    assert read.comparisons[Measure.RMSE].unusual
    assert read.errors.rmse is None


def test_worse_forecasts_call_for_retraining() -> None:
    """Forecasts without skill and with larger errors than the backtest's are a finding."""
    report = _monitor(make_log(FEATURES.filter(LATER), noise=1.5, skill=0.0))
    assert report.verdict == "retrain"
    assert any(reason.startswith("eta-R2 is") for reason in report.reasons)
    assert report.comparisons[Measure.RMSE].deviation_ratio > 1.25
    assert report.comparisons[Measure.RMSE].unusual


def test_only_the_window_is_judged() -> None:
    """Bad forecasts before the window change nothing but the series."""
    bad = pl.when(pl.col(columns.TARGET_DATE) < SESSIONS[-11]).then(100.0).otherwise(1.0)
    report = _monitor(LOG.with_columns(pl.col(FORECAST) * bad))
    assert report.verdict == "ok"
    assert report.errors == REPORT.errors
    assert report.by_session[0] != REPORT.by_session[0]
    assert report.by_session[-10:] == REPORT.by_session[-10:]


FRESH: Final = pl.col(columns.TARGET_DATE) > SESSIONS[-5]
"""The last three sessions with bars, and the next, by a forecaster trained up to them."""

RETRAINED: Final = LOG.with_columns(
    pl.when(FRESH).then(FORECASTER).otherwise(pl.lit("fedcba9876543210")).alias(FORECASTER),
    pl.when(FRESH).then(FORECAST).otherwise(pl.col(FORECAST) * 100).alias(FORECAST),
)


def test_a_new_forecaster_is_not_judged_by_its_predecessor() -> None:
    """Bad forecasts of the previous forecaster are counted, and nothing else."""
    report = _monitor(RETRAINED, min_forecasts=18)
    assert report.verdict == "ok", report.reasons
    assert report.errors.n == 6 * 3
    assert report.forecasts.by_other_forecasters == 12 * 7
    assert _list_sessions(report) == SESSIONS[-4:-1]
    blamed = _monitor(RETRAINED.with_columns(pl.lit(IN_USE).alias(FORECASTER)))
    assert blamed.verdict == "retrain"


def test_a_new_forecaster_with_few_forecasts_is_watched() -> None:
    """The reason says how few there are, and how many by others do not count."""
    report = _monitor(RETRAINED)
    assert report.verdict == "watch"
    assert report.comparisons == {}
    (reason,) = report.reasons
    assert reason.startswith("only 18 forecasts")
    assert reason.endswith("; 84 by other forecasters do not count")


@pytest.mark.parametrize(("log", "judged"), [(LOG, 10), (RETRAINED, 3)], ids=["full", "fresh"])
def test_judged_sessions_are_not_compared_with_themselves(log: pl.DataFrame, judged: int) -> None:
    """A newer backtest contains the judged sessions; only the others are compared."""
    since = _backtest(pl.lit(value=True))
    before = since.filter(pl.col(columns.TARGET_DATE) < SESSIONS[-1 - judged])
    report = _monitor(log, backtest=since, min_forecasts=18)
    assert report.comparisons
    assert report.backtest.n == before.filter(COMMON_STOCK).height
    assert report == _monitor(log, backtest=before, min_forecasts=18)


@pytest.mark.parametrize(
    ("trained_to", "verdict"), [(SESSIONS[-11], "retrain"), (SESSIONS[-10], "watch")]
)
def test_drift_that_training_has_seen_does_not_call_for_retraining(
    trained_to: date, verdict: str
) -> None:
    """Otherwise retraining on each verdict would repeat every evening, and change nothing."""
    moved = pl.when(pl.col(columns.TARGET_DATE) > SESSIONS[-11]).then(9.0).otherwise(0.0)
    features = FEATURES.with_columns((pl.col("size") + moved).cast(pl.Float32))
    report = _monitor(features=features, trained_to=trained_to, gain_retrain=0.4)
    assert report.verdict == verdict
    assert ("training has already seen 1 of these sessions" in report.reasons[0]) == (
        verdict == "watch"
    )


def test_forecasts_for_sessions_of_training_do_not_count() -> None:
    """Without any other forecast, the verdict is to watch."""
    report = _monitor(LOG.with_columns(pl.lit(SESSIONS[-1]).alias(TRAINED_TO)))
    assert report.verdict == "watch"
    assert "for sessions that the model was trained on" in report.reasons[0]
    assert report.errors.n == 0
    assert report.errors.rmse is None
    assert report.comparisons == {}


def test_without_a_log_the_inputs_are_still_judged() -> None:
    """An empty log is watched, and the drift of the features is measured."""
    report = _monitor(LOG.clear())
    assert report.verdict == "watch"
    assert report.reasons[0].startswith("no forecast can be scored yet: the log has none")
    assert report.by_session == ()
    assert len(report.drift.by_feature) == len(GAINS)
    assert report.drift.comparable


def test_too_few_forecasts_are_not_compared() -> None:
    """Errors are compared from ``min_forecasts`` on."""
    report = _monitor(min_forecasts=61)
    assert report.comparisons == {}
    assert report.reasons[0].startswith("only 60 forecasts")
    assert _monitor(min_forecasts=60).comparisons


def test_drifted_inputs_are_a_finding() -> None:
    """A feature with two fifths of the gain that drifts strongly is watched."""
    moved = pl.when(pl.col(columns.TARGET_DATE) > SESSIONS[-11]).then(9.0).otherwise(0.0)
    report = _monitor(features=FEATURES.with_columns((pl.col("size") + moved).cast(pl.Float32)))
    assert report.verdict == "watch"
    assert report.drift.strongly_drifted_gain == pytest.approx(40)
    assert report.reasons[0].startswith("1 of 3 features, with 40.0 %")


def test_new_symbols_are_scored_with_known_ones() -> None:
    """A symbol that the backtest lacks counts, and leaves the reference unchanged."""
    new = FEATURES.filter(pl.col(columns.SYMBOL) == "S00").with_columns(
        pl.lit("NEW").alias(columns.SYMBOL)
    )
    log = pl.concat([LOG, make_log(new.filter(LATER))])
    report = _monitor(log, features=pl.concat([FEATURES, new]))
    assert report.errors.n == 70
    assert report.errors.symbols == 7
    assert report.backtest == REPORT.backtest


def test_a_window_without_trades_is_watched() -> None:
    """Volumes of zero throughout the window cannot be scored, and are no error."""
    idle = pl.when(pl.col(columns.DATE) >= SESSIONS[-11]).then(0).otherwise(columns.VOLUME)
    report = _monitor(bars=make_bars(FEATURES).with_columns(idle.alias(columns.VOLUME)))
    assert report.verdict == "watch"
    assert report.forecasts.without_outcome == 11 * 12
    assert len(report.by_session) == 19
    assert math.isfinite(report.by_session[0].rmse)


class _Forecaster:
    """A forecaster as far as the monitoring looks at it."""

    training: Final = TrainingSummary(
        first_session=SESSIONS[0],
        last_session=SPLIT,
        validated_from=SPLIT,
        rows=1,
        symbols=1,
        trees=1,
        parameters=ForecasterParameters(),
    )

    @staticmethod
    def importance() -> dict[str, float]:
        return GAINS

    @staticmethod
    def to_files() -> dict[str, str]:
        return {"mean_0.txt": "trees"}


def test_nodes_pass_on_the_forecaster_and_the_plan() -> None:
    """The nodes report on the forecaster's own forecasts, by the backtest's least history."""
    fold = Fold(
        train_start=date(2018, 1, 2), train_end=SPLIT, test_start=SPLIT, test_end=SESSIONS[-1]
    )
    plan = Plan(folds=(fold,), min_sessions=1, note="")
    frames = (make_bars(FEATURES).lazy(), FEATURES.lazy(), BACKTEST.lazy())
    forecaster: Any = _Forecaster()
    log = partition_log(LOG.with_columns(pl.lit(identity_of(forecaster)).alias(FORECASTER)))
    report = monitor_forecaster(log, *frames, plan, forecaster, PARAMETERS)
    assert report == REPORT
    plan = plan.model_copy(update={"min_sessions": 10**6})
    assert monitor_forecaster(log, *frames, plan, forecaster, PARAMETERS).errors.n == 0
    assert draw_monitoring(report).layout.title.text.endswith(": ok")


def test_the_domain_imports_neither_kedro_nor_bentoml() -> None:
    """Importing the whole package loads no framework, and nothing that takes seconds."""
    code = (
        "import sys; from stock_volume.monitoring import monitor, plots; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"kedro", "kedro_datasets", "bentoml", "fastapi", "lightgbm", "plotly", "sklearn"}
    assert not heavy & set(loaded.stdout.split())
