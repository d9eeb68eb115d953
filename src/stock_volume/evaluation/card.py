"""The forecaster's model card and its section of the report."""

from collections.abc import Collection, Mapping
from typing import Final

from stock_volume.boosters import LIBRARY
from stock_volume.evaluation.backtest import Fold
from stock_volume.evaluation.equal_groups import merge_equal
from stock_volume.evaluation.horizon_backtest import HAR, MA20
from stock_volume.evaluation.results import (
    BacktestMetrics,
    GroupMetrics,
    HorizonMetrics,
    OpeningGroup,
    PointMetrics,
)
from stock_volume.features.schedule import REACTION
from stock_volume.forecaster.model import TrainingSummary
from stock_volume.metrics import UNDEFINED, in_words

_COLUMNS: Final = """\
| symbol-days | eta-R² % | level R² % | MdAPE % | MAE (shares) | QLIKE | ALE | coverage % |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""

_WITH_EVENTS: Final = """\
- It knows no news except the dates of earnings: it was trained with the events of its run
  (docs/events.md). A symbol without events is forecast from its own past alone."""
_WITHOUT_EVENTS: Final = """\
- It knows no news, and no earnings dates except what a symbol's own past suggests."""

_NOTE_ON_UNDEFINED: Final = f"""
{UNDEFINED.capitalize()}: the volumes do not vary. eta-R² has no value where the mean of the last
five sessions has no error, level R² where the dollar volume is the same on all rows, or where
there is one row only.
"""


def report_forecaster(metrics: BacktestMetrics) -> str:
    """Write the forecaster's section of the report.

    Args:
        metrics: Measures of the backtest.

    Returns:
        Markdown.
    """
    return _explain_undefined(_describe_backtest(metrics))


def _describe_backtest(metrics: BacktestMetrics) -> str:
    folds = metrics.plan.folds
    return f"""\
## Forecaster: the next session's volume

Backtest on {metrics.universe}: {metrics.n:,} symbol-days of {metrics.symbols:,}
symbols, {folds[0].test_start} to {folds[-1].test_end}, each forecast by a model that
was trained on earlier sessions only.{_on_a_new_line(metrics.plan.note)}

**eta-R² {_headline(metrics)}: the share of the
squared error of log dollar volume that the forecast removes from the mean of the last five
sessions. {in_words(metrics.coverage_80, ".1f")} % of the volumes fell between quantiles 0.1 and
0.9 (80 % is right), {in_words(metrics.below_q50, ".1f")} % below the median (50 % is right).

| forecast | eta-R² % | level R² % | MdAPE % | MAE (shares) | QLIKE | ALE |
|---|---:|---:|---:|---:|---:|---:|
{_row("**forecaster**", metrics)}
{_baseline_rows(metrics.baselines)}
"""


def _headline(metrics: BacktestMetrics) -> str:
    if metrics.eta_r2 is None:
        return f"is {UNDEFINED}** (the mean of the last five sessions has no error)"
    interval = metrics.intervals_95.eta_r2
    bounds = UNDEFINED if interval is None else "{:.2f} to {:.2f}".format(*interval)
    return f"{metrics.eta_r2:.2f} %** (95 % interval {bounds})"


def _explain_undefined(text: str) -> str:
    """Append what undefined means, if the text has the word."""
    return text + _NOTE_ON_UNDEFINED if UNDEFINED in text else text


def _on_a_new_line(note: str) -> str:
    return f"\n{note}" if note else ""


def write_card(
    metrics: BacktestMetrics, training: TrainingSummary, features: Collection[str], revision: str
) -> str:
    """Write the model card (Mitchell et al., 2019).

    Args:
        metrics: Measures of the backtest.
        training: How the shipped forecaster was trained.
        features: Names of its features.
        revision: Revision of the code.

    Returns:
        Markdown.
    """
    return _explain_undefined(_describe_model(metrics, training, features, revision))


def _describe_model(
    metrics: BacktestMetrics, training: TrainingSummary, features: Collection[str], revision: str
) -> str:
    parameters = training.parameters
    return f"""\
# Model card: forecaster of the next session's volume

## What it is

{parameters.boosters} {LIBRARY} booster(s) of {training.trees} trees for the mean of eta, and
one for each quantile ({", ".join(f"{level:g}" for level in parameters.quantiles)}). eta is the log
dollar volume of the next session less the mean of the last five. Trained on
{training.rows:,} symbol-days of {training.symbols:,} symbols, sessions {training.first_session}
to {training.last_session}; the sessions from {training.validated_from} on chose the number of
trees and calibrated the quantiles. Revision of the code: {revision}.

## What it is for

Planning around tomorrow's liquidity: order sizing, capacity, alarms on unusual volume. It
forecasts any symbol with daily bars, from the latest bar and the calendar of the session
after it. The forecast is about the median; on half the days the volume is higher.

## What it is not for

- It does not forecast prices and is not advice to trade.
{_WITH_EVENTS if REACTION in features else _WITHOUT_EVENTS}
- It says nothing about a session in which a symbol does not trade: such days are not scored.
- Symbols that trade below 100k dollars a day are mostly noise; see their row below.

{_describe_backtest(metrics)}
## By liquidity

Mean dollar volume of the 22 sessions up to the origin.

{_group_table("dollars a day", metrics.by_bucket)}

## By occasion

What is scheduled for the target session: the intervals must hold on these days too.

{_group_table("target session", metrics.by_occasion)}

## By variability

Standard deviation of the symbol's last 252 abnormal volumes, in logs.

{_group_table("standard deviation", metrics.by_variability)}{_describe_other_protocols(metrics)}

## By kind of security

{_group_table("securities", metrics.by_security)}

## By year

{_group_table("year", metrics.by_year)}

## Windows

| trained on | tested on |
|---|---|
{_window_rows(metrics.plan.folds)}

The default parameters were chosen on tests of 2017 and 2018 of a reference archive, which
were evaluated some seventy times; 2019 and 2020 were evaluated three times, and nothing was
chosen by them (docs/forecaster.md). If you tune on the windows above, say so here.

Intervals come from a block bootstrap of sessions. eta-R² and level R² are of log dollar
volume; MdAPE, MAE and QLIKE are of shares. ALE is the mean absolute error of log volume, in which
a forecast that is too high counts twice: that is the costly error when trading on it. The mean
error of eta is {in_words(metrics.bias, "+.4f")} (below 0: forecasts are too high).
"""


def _row(name: str, measures: PointMetrics) -> str:
    return (
        f"| {name} | {in_words(measures.eta_r2, '.2f')} "
        f"| {in_words(measures.level_r2, '.2f')} "
        f"| {in_words(measures.mdape, '.1f')} | {in_words(measures.mae, ',.0f')} "
        f"| {in_words(measures.qlike, '.3f')} | {in_words(measures.ale, '.3f')} |"
    )


def _baseline_rows(baselines: Mapping[str, PointMetrics]) -> str:
    return "\n".join(_row(name, measures) for name, measures in baselines.items())


def _group_table(head: str, groups: Mapping[str, GroupMetrics]) -> str:
    """Write a table of groups, each set of rows once; one group alone needs no table."""
    distinct = merge_equal(groups)
    if len(distinct) == 1:
        return f"All rows are in one group: {next(iter(distinct))}."
    return f"| {head} {_COLUMNS}\n{_group_rows(distinct)}"


def _group_rows(groups: Mapping[str, GroupMetrics]) -> str:
    return "\n".join(
        _row(f"{name} | {group.n:,}", group) + f" {in_words(group.coverage_80, '.1f')} |"
        for name, group in groups.items()
    )


def _describe_other_protocols(metrics: BacktestMetrics) -> str:
    return _describe_horizons(metrics) + _describe_openings(metrics)


def _describe_horizons(metrics: BacktestMetrics) -> str:
    if not metrics.by_horizon:
        return ""
    return f"""

## Beyond the next session

h2 is the volume of the second session, total_5 the total of the next five. eta-R² compares with the
mean of the last five sessions again. Origins are {metrics.plan.horizon_step} session(s) apart.

| horizon | symbol-days | eta-R² % | of har | of ma20 | MdAPE % | coverage % |
|---|---:|---:|---:|---:|---:|---:|
{_horizon_rows(metrics.by_horizon)}"""


def _horizon_rows(horizons: Mapping[str, HorizonMetrics]) -> str:
    return "\n".join(
        f"| {name} | {one.n:,} | {in_words(one.eta_r2, '.2f')} "
        f"| {in_words(one.baselines[HAR].eta_r2, '.2f')} "
        f"| {in_words(one.baselines[MA20].eta_r2, '.2f')} "
        f"| {in_words(one.mdape, '.1f')} | {in_words(one.coverage_80, '.1f')} |"
        for name, one in horizons.items()
    )


def _describe_openings(metrics: BacktestMetrics) -> str:
    at_open = metrics.at_open
    if at_open is None:
        return ""
    return f"""

## At the open

A protocol of its own: the forecast of a session whose opening price is known, on {at_open.sessions}
sessions of the backtest, beside the forecast of the same sessions made at the close before. A
symbol that trades rarely may open hours after the exchange does.

{_opening_table("dollars a day", {"all": at_open, **at_open.by_bucket})}

The gap is the log of the opening price over the close before, in standard deviations of the
symbol's daily return.

{_opening_table("gap", at_open.by_gap)}"""


def _opening_table(head: str, groups: Mapping[str, OpeningGroup]) -> str:
    rows = "\n".join(
        f"| {name} | {group.n:,} | {in_words(group.before.eta_r2, '.2f')} "
        f"| {in_words(group.eta_r2, '.2f')} | {in_words(group.before.coverage_80, '.1f')} "
        f"| {in_words(group.coverage_80, '.1f')} |"
        for name, group in merge_equal(groups).items()
    )
    return f"""\
| {head} | symbol-days | eta-R² % before | at the open | coverage % before | at the open |
|---|---:|---:|---:|---:|---:|
{rows}"""


def _window_rows(folds: tuple[Fold, ...]) -> str:
    return "\n".join(
        f"| {fold.train_start} to {fold.train_end} | {fold.test_start} to {fold.test_end} |"
        for fold in folds
    )
