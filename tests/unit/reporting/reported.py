"""Made-up results that the tests of the report share."""

from datetime import date
from typing import Final

import polars as pl

from stock_volume import columns
from stock_volume.bars.ledger import ROWS_QUARANTINED, ROWS_READ, FileStatus, RowCounts
from stock_volume.bars.quality import QualityReport, TroubledFile
from stock_volume.estimator.train import EstimatorMetrics, SplitMetrics
from stock_volume.evaluation.backtest import Fold, Plan
from stock_volume.evaluation.measures import evaluate_backtest
from stock_volume.evaluation.results import BacktestMetrics, ModelMetrics
from stock_volume.features.calendar import KIND
from stock_volume.forecaster.model import FORECAST, TrainingSummary, quantile_name
from stock_volume.forecaster.parameters import BacktestParameters, ForecasterParameters
from stock_volume.reporting.find import ReportedLayers, find
from stock_volume.reporting.findings import Findings, Provenance
from stock_volume.reporting.html import ReportedResults
from tests.unit.forecast_helpers import LEVELS, backtest_frame, forecast_frame, opened, scored

BOOTSTRAP: Final = BacktestParameters(resamples=50)
PROVENANCE: Final = Provenance(
    data_fingerprint="ab" * 32, git_revision="0123abc", versions={"polars": "2.1"}, exchange="XNYS"
)
PLAN: Final = Plan(
    folds=(
        Fold(
            train_start=date(2015, 1, 2),
            train_end=date(2018, 11, 12),
            test_start=date(2018, 11, 13),
            test_end=date(2019, 2, 4),
        ),
    ),
    min_sessions=252,
    note="",
)
BACKTEST: Final = backtest_frame(symbols=18)
FEATURES: Final = forecast_frame()


def kinds_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Name the weekday of each target session, except that Christmas Eve closes early."""
    eve = pl.col(columns.TARGET_DATE) == date(2018, 12, 24)
    weekday = pl.when(eve).then(pl.lit("early close")).otherwise(pl.lit("Monday"))
    return rows.select(pl.col(columns.TARGET_DATE).unique().sort()).with_columns(
        weekday.alias(KIND)
    )


def layers(backtest: pl.DataFrame = BACKTEST, features: pl.DataFrame = FEATURES) -> ReportedLayers:
    """Make the layers of a run; the forecast of each symbol is its latest volume times 1, 2, ….

    The usual volume is the latest volume.
    """
    latest = features.group_by(columns.SYMBOL, maintain_order=True).last()
    forecast = latest[columns.VOLUME].cast(pl.Float64) * (pl.int_range(1, 13, eager=True))
    forecasts = latest.select(columns.SYMBOL, columns.DATE, columns.TARGET_DATE).with_columns(
        forecast.alias(FORECAST),
        *((forecast * (0.5 + level)).alias(quantile_name(level)) for level in LEVELS),
    )
    usual = features.select(
        columns.SYMBOL, columns.DATE, pl.col(columns.VOLUME).alias(columns.VOL_MOVING_AVG)
    )
    files = pl.DataFrame(
        {
            columns.FILE: ["stocks/A.csv", "stocks/B.csv", "etfs/C.csv"],
            ROWS_READ: [100, 200, 300],
            ROWS_QUARANTINED: [3, 0, 5],
        }
    )
    quarantine = pl.DataFrame(
        {
            columns.FILE: ["stocks/A.csv"] * 3 + ["etfs/C.csv"] * 5,
            columns.RULE: ["missing_field"] * 3 + ["high_below_low"] + ["weekend_date"] * 4,
        }
    )
    frames = (backtest, forecasts, features, usual, kinds_of(backtest), files, quarantine)
    return ReportedLayers(*(frame.lazy() for frame in frames))


def metrics_of(backtest: pl.DataFrame = BACKTEST) -> BacktestMetrics:
    layers = scored(backtest, openings=opened(backtest))
    return evaluate_backtest(layers, PLAN, LEVELS, BOOTSTRAP)


def findings_of(backtest: pl.DataFrame = BACKTEST, features: pl.DataFrame = FEATURES) -> Findings:
    return find(layers(backtest, features), metrics_of(backtest), LEVELS, BOOTSTRAP, PROVENANCE)


def results_of(backtest: pl.DataFrame = BACKTEST) -> ReportedResults:
    split = SplitMetrics(mae=1234.5, mse=2e6, r2=0.75, n_train=80, n_test=20)
    return ReportedResults(
        metrics=ModelMetrics(
            estimator=EstimatorMetrics(random_split=split, time_split=split),
            forecaster=metrics_of(backtest),
        ),
        quality=QualityReport(
            rows=RowCounts(read=12_345, kept=12_337, known=0, quarantined=8),
            quarantined_by_rule={"missing_field": 3, "high_below_low": 1, "weekend_date": 4},
            flagged_by_rule={"zero_volume": 17},
            files={"found": 3, "read": 2, "unreadable": 1},
            troubled_files=(
                TroubledFile(file="etfs/<b>.csv", status=FileStatus.UNREADABLE, note="no text"),
            ),
            symbols=12,
            first_date=date(2015, 1, 2),
            last_date=date(2019, 2, 4),
            constant_volume=None,
        ),
        findings=findings_of(backtest),
        training=TrainingSummary(
            first_session=date(2016, 2, 5),
            last_session=date(2019, 2, 4),
            validated_from=date(2018, 7, 2),
            rows=1_234_567,
            symbols=2_345,
            trees=321,
            parameters=ForecasterParameters(),
        ),
    )
