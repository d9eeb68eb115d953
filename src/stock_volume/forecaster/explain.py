"""Why a forecast is what it is: contributions of the features, by kind, as factors.

The forecast is the volume at the base times exp(eta), and eta is the sum of the features'
contributions, so each contribution is a factor of the forecast. The last factor adapts it to the
errors of past forecasts.
"""

from collections.abc import Sequence
from math import exp, log, prod
from typing import Final, NamedTuple, TypeVar

import polars as pl

from stock_volume.features.registry import FEATURE_KINDS
from stock_volume.forecaster.model import Forecaster, shares_at_base

OTHER_KIND: Final = "Other"
"""Kind of features that the registry no longer has."""

_DESCRIPTIONS: Final = {
    feature.name: feature.description for kind in FEATURE_KINDS.values() for feature in kind
}
_KINDS: Final = {feature.name: kind for kind, of in FEATURE_KINDS.items() for feature in of}
_PHRASES: Final = {
    "Security": "The kind of security",
    "Volume": "Its recent volume",
    "Price": "Its prices",
    "Responses to sessions like the target": "How it responded to earlier sessions of this kind",
    "Events inferred from the symbol's past": "Events inferred from its past",
    "Scheduled events of the symbol": "Its own earnings dates",
    "Calendar of the target session": "The calendar of the session",
    "The market's session": "The latest session of the whole market",
    "Scheduled events of all symbols": "Earnings dates of other companies",
    OTHER_KIND: "Other features",
}
_NEGLIGIBLE: Final = 0.005


class FeatureEffect(NamedTuple):
    """The effect of a feature on a forecast.

    Attributes:
        name: Name of the feature.
        description: What it measures; empty if the registry no longer has it.
        value: Its value; None where it is unknown.
        factor: What it multiplies the forecast by.
    """

    name: str
    description: str
    value: float | None
    factor: float


class KindEffect(NamedTuple):
    """The effect of the features of a kind on a forecast.

    Attributes:
        kind: A key of ``FEATURE_KINDS``, or ``OTHER_KIND``.
        factor: Product of the factors of all features of the kind.
        features: The features, those with the largest effect first.
    """

    kind: str
    factor: float
    features: Sequence[FeatureEffect]


class Explanation(NamedTuple):
    """Factors of a forecast: it is the product of all of them and ``start``.

    Attributes:
        start: Shares at the last Close for the mean log dollar volume of the last five bars.
        average: Factor of the average row of training.
        kinds: Effects of the kinds of features, the largest first.
        adaptation: Factor of the adaptation to the errors of past forecasts.
    """

    start: float
    average: float
    kinds: Sequence[KindEffect]
    adaptation: float


_Effect = TypeVar("_Effect", FeatureEffect, KindEffect)


def explain_forecast(
    forecaster: Forecaster, features: pl.DataFrame, forecast: float, num_threads: int = 0
) -> Explanation:
    """Explain the forecast of one row.

    Args:
        forecaster: The trained forecaster.
        features: One row of ``forecast_features`` with a known base.
        forecast: The forecast, adapted, in shares.
        num_threads: Threads; 0 for all cores.

    Returns:
        The explanation.
    """
    *contributions, average = forecaster.contributions(features, num_threads)[0].tolist()
    values = features.select(pl.col(forecaster.features).cast(pl.Float64)).row(0)
    by_kind: dict[str, list[FeatureEffect]] = {}
    for name, value, eta in zip(forecaster.features, values, contributions, strict=True):
        effect = FeatureEffect(name, _DESCRIPTIONS.get(name, ""), value, exp(eta))
        by_kind.setdefault(_KINDS.get(name, OTHER_KIND), []).append(effect)
    start = float(features.select(shares_at_base()).item())
    return Explanation(
        start=start,
        average=exp(average),
        kinds=_largest_first([_sum_up(kind, effects) for kind, effects in by_kind.items()]),
        adaptation=forecast / (start * exp(average + sum(contributions))),
    )


def _sum_up(kind: str, effects: Sequence[FeatureEffect]) -> KindEffect:
    factor = prod(effect.factor for effect in effects)
    return KindEffect(kind, factor, _largest_first(effects))


def _largest_first(effects: Sequence[_Effect]) -> list[_Effect]:
    return sorted(effects, key=lambda effect: abs(log(effect.factor)), reverse=True)


def describe_average(factor: float) -> str:
    """Describe the average row of training in a sentence.

    Args:
        factor: ``Explanation.average``.

    Returns:
        The sentence.
    """
    if abs(factor - 1) < _NEGLIGIBLE:
        return "On average, volume equals the mean of the last five sessions."
    side = "above" if factor > 1 else "below"
    return f"On average, volume is {_percent(factor)} {side} the mean of the last five sessions."


def describe_adaptation(factor: float) -> str:
    """Describe the adaptation to the errors of past forecasts in a sentence.

    Args:
        factor: ``Explanation.adaptation``.

    Returns:
        The sentence.
    """
    if abs(factor - 1) < _NEGLIGIBLE:
        return "Recent forecasts of similar symbols were right on average."
    side, verb = ("low", "raises") if factor > 1 else ("high", "lowers")
    return (
        f"Recent forecasts of similar symbols were too {side}: {verb} the forecast by "
        f"{_percent(factor)}."
    )


def describe_kind(kind: str, factor: float) -> str:
    """Describe the effect of a kind of features in a sentence.

    Args:
        kind: A key of ``FEATURE_KINDS``, or ``OTHER_KIND``.
        factor: The factor of the kind.

    Returns:
        The sentence.
    """
    subject = _PHRASES.get(kind, kind)
    if abs(factor - 1) < _NEGLIGIBLE:
        return f"{subject}: no effect to speak of."
    verb = "raises" if factor > 1 else "lowers"
    return f"{subject}: {verb} the forecast by {_percent(factor)}."


def _percent(factor: float) -> str:
    return f"{100 * abs(factor - 1):.0f} %"
