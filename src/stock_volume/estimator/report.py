"""The estimator's section of the report."""

from stock_volume.estimator.train import EstimatorMetrics, SplitMetrics
from stock_volume.metrics import UNDEFINED, in_words


def report_estimator(metrics: EstimatorMetrics) -> str:
    """Write the estimator's section of the report.

    Args:
        metrics: Errors on both splits.

    Returns:
        Markdown.
    """
    return f"""\
## Estimator: a day's volume from its 30-day averages

| split | MAE (shares) | MSE (shares²) | R² | rows trained on | rows tested on |
|---|---:|---:|---:|---:|---:|
{_row("random", metrics.random_split)}
{_row("by time", metrics.time_split)}

**Neither row is the error of a forecast.** The average volume of a day contains the
day's own volume, so the estimator sees part of its answer: it fits a day, it does
not predict one.

**The random split is optimistic on top of that.** It holds out single days whose neighbours,
of the same symbol, are trained on: two neighbouring windows of 30 days share nearly all
their days, so a held-out row is almost a copy of rows the model has seen, at a price
and a level of volume it has seen. The split by time trains on the earlier days of all
symbols and tests on the later ones, whose prices and volumes it has not seen; that is
how the estimator is used, and its row is the one to quote. {_compare_splits(metrics)}
"""


def _compare_splits(metrics: EstimatorMetrics) -> str:
    """Compare R² of the splits; their days differ, so MAE and MSE do not compare."""
    random, by_time = metrics.random_split.r2, metrics.time_split.r2
    if random is None or by_time is None:
        return f"Where R² is {UNDEFINED}, the volumes held out do not vary."
    was = "was optimistic" if random > by_time else "was not optimistic"
    return (
        f"Here the random split {was}: R² {random:.4f} against {by_time:.4f} by "
        "time. (MAE and MSE of the two do not compare: their days differ, and the volumes "
        "traded on them.)"
    )


def _row(name: str, split: SplitMetrics) -> str:
    return (
        f"| {name} | {split.mae:,.0f} | {split.mse:.4g} | {in_words(split.r2, '.4f')} "
        f"| {split.n_train:,} | {split.n_test:,} |"
    )
