"""The model card of the forecaster, and its part of the report, made from its figures."""

from collections.abc import Mapping
from typing import Any, Final

from stock_volume.metrics import UNDEFINED, in_words

_COLUMNS: Final = """\
| symbol-days | eta-R² % | level R² % | MdAPE % | MAE (shares) | QLIKE | coverage % |
|---|---:|---:|---:|---:|---:|---:|---:|"""

_NOTE_ON_UNDEFINED: Final = f"""
{UNDEFINED.capitalize()}: the volumes do not vary. eta-R² has no value where the mean of the last
five sessions has no error, level R² where the dollar volume is the same on all rows, or where
there is one row only.
"""


def report_forecaster(metrics: Mapping[str, Any]) -> str:
    """Write up the backtest.

    Args:
        metrics: What ``evaluate_backtest`` measured, with the ``plan``.

    Returns:
        Markdown.
    """
    return _explained(_report(metrics))


def _report(metrics: Mapping[str, Any]) -> str:
    folds = metrics["plan"]["folds"]
    return f"""\
## Forecaster: the next session's volume

Backtest on {metrics["universe"]}: {metrics["n"]:,} symbol-days of {metrics["symbols"]:,}
symbols, {folds[0]["test_start"]} to {folds[-1]["test_end"]}, each forecast by a model that
was trained on earlier sessions only.{_after_space(metrics["plan"]["note"])}

**eta-R² {_headline(metrics)}: the share of the
squared error of log dollar volume that the forecast takes from the mean of the last five
sessions. Of the volumes, {metrics["coverage_80"]:.1f} % fell between the quantiles 10 and 90
(80 % is right), {metrics["below_q50"]:.1f} % below the median (50 % is right).

| forecast | eta-R² % | level R² % | MdAPE % | MAE (shares) | QLIKE |
|---|---:|---:|---:|---:|---:|
{_line("**forecaster**", metrics)}
{_lines(metrics["baselines"])}
"""


def _headline(metrics: Mapping[str, Any]) -> str:
    if metrics["eta_r2"] is None:
        return f"is {UNDEFINED}** (the mean of the last five sessions has no error)"
    interval = metrics["intervals_95"]["eta_r2"]
    bounds = UNDEFINED if interval is None else "{:.2f} to {:.2f}".format(*interval)
    return f"{metrics['eta_r2']:.2f} %** (95 % interval {bounds})"


def _explained(text: str) -> str:
    """Add what undefined means, where a text has the word."""
    return text + _NOTE_ON_UNDEFINED if UNDEFINED in text else text


def _after_space(note: str) -> str:
    return f"\n{note}" if note else ""


def write_card(metrics: Mapping[str, Any], about: Mapping[str, Any], revision: str) -> str:
    """Write the model card (Mitchell et al., 2019).

    Args:
        metrics: What ``evaluate_backtest`` measured, with the ``plan``.
        about: How the shipped forecaster came to be.
        revision: Of the code.

    Returns:
        Markdown.
    """
    return _explained(_card(metrics, about, revision))


def _card(metrics: Mapping[str, Any], about: Mapping[str, Any], revision: str) -> str:
    parameters = about["parameters"]
    return f"""\
# Model card: forecaster of the next session's volume

## What it is

{parameters["boosters"]} LightGBM booster(s) of {about["trees"]} trees for the mean of eta, and
one a quantile ({", ".join(f"{level:g}" for level in parameters["quantiles"])}). eta is the log
dollar volume of the next session less the mean of the last five. Trained on
{about["rows"]:,} symbol-days of {about["symbols"]:,} symbols, sessions {about["first_session"]}
to {about["last_session"]}; those from {about["validated_from"]} chose the number of trees and
calibrated the quantiles. Revision of the code: {revision}.

## What it is for

Planning around tomorrow's liquidity: sizing of orders, capacity, alarms on unusual volume. It
answers for any symbol with daily bars, from the latest bar and the calendar of the session
after it. The forecast is about the median; on half the days the volume is higher.

## What it is not for

- It is no forecast of prices, and no advice to trade.
- It knows no news, no dates of earnings but those that a symbol's own past suggests.
- It says nothing of a session in which a symbol does not trade: such days are not scored.
- Symbols that trade below 100k dollars a day are mostly noise; see their row below.

{_report(metrics)}
## By liquidity

Mean dollar volume of the 22 sessions up to the origin.

| dollars a day {_COLUMNS}
{_groups(metrics["by_bucket"])}

## By kind of security

| securities {_COLUMNS}
{_groups(metrics["by_security"])}

## By year

| year {_COLUMNS}
{_groups(metrics["by_year"])}

## Windows

| trained on | tested on |
|---|---|
{_windows(metrics["plan"]["folds"])}

The defaults of the parameters were chosen on tests of 2017 and 2018 of a reference archive, which
were looked at some seventy times; 2019 and 2020 of it were looked at three times, and nothing was
chosen by them (docs/forecaster.md). Whoever tunes on the windows above should say so here.

Intervals are of a bootstrap of blocks of sessions. eta-R² and level R² are of log dollar
volume, MdAPE, MAE and QLIKE of shares. Over-forecasting is the costly error for who trades on
the number: the mean of eta less its forecast is {metrics["bias"]:+.4f} (below 0: too high).
"""


def _line(name: str, measures: Mapping[str, Any]) -> str:
    return (
        f"| {name} | {in_words(measures['eta_r2'], '.2f')} "
        f"| {in_words(measures['level_r2'], '.2f')} "
        f"| {measures['mdape']:.1f} | {measures['mae']:,.0f} | {measures['qlike']:.3f} |"
    )


def _lines(groups: Mapping[str, Mapping[str, Any]]) -> str:
    return "\n".join(_line(name, measures) for name, measures in groups.items())


def _groups(groups: Mapping[str, Mapping[str, Any]]) -> str:
    return "\n".join(
        _line(f"{name} | {measures['n']:,}", measures) + f" {measures['coverage_80']:.1f} |"
        for name, measures in groups.items()
        if measures["n"]
    )


def _windows(folds: list[Mapping[str, str]]) -> str:
    return "\n".join(
        f"| {fold['train_start']} to {fold['train_end']} "
        f"| {fold['test_start']} to {fold['test_end']} |"
        for fold in folds
    )
