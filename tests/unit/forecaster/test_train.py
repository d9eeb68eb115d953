"""Training of the forecaster: what it learns from, what it must not see, and that it repeats."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from lightgbm import Booster

from stock_volume import boosters, columns
from stock_volume.arrays import Floats
from stock_volume.boosters import lightgbm_parameters
from stock_volume.errors import StockVolumeError, TooFewRowsError
from stock_volume.exchange import ScheduledEvent
from stock_volume.features.quantities import ABNORMAL_STD, BARS_SO_FAR, BASE
from stock_volume.features.registry import ETA, FORECAST_FEATURES, NEXT_VOLUME
from stock_volume.forecaster.calibrate import MIN_ROWS
from stock_volume.forecaster.model import (
    FORECAST,
    Forecaster,
    TrainingSummary,
    predict_each,
    quantile_name,
)
from stock_volume.forecaster.parameters import ForecasterParameters
from stock_volume.forecaster.settings import mean_settings, quantile_settings
from stock_volume.forecaster.train import (
    latest_training_rows,
    row_weights,
    train_forecaster,
    training_rows,
)
from stock_volume.forecaster.universe import LIQUIDITY
from stock_volume.schemas import ForecastFeatures
from tests.unit.forecast_helpers import (
    FEATURE_NAMES,
    LEVELS,
    SIGNAL,
    change_targets,
    forecast_frame,
    small_parameters,
)

PARAMETERS = small_parameters()
TARGET = pl.col(columns.TARGET_DATE)


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return forecast_frame()


@pytest.fixture(scope="module")
def rows(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col(ETA).is_not_null())


@pytest.fixture(scope="module")
def trained(rows: pl.DataFrame) -> Forecaster:
    return train_forecaster(rows, PARAMETERS)


def _eta(forecaster: Forecaster, rows: pl.DataFrame) -> Floats:
    """Forecasts of eta."""
    shares = forecaster.predict(rows, num_threads=1)[FORECAST].to_numpy()
    eta: Floats = np.log(shares * rows[columns.CLOSE].to_numpy()) - rows[BASE].to_numpy()
    return eta


def _texts(forecaster: Forecaster) -> tuple[str, ...]:
    return (*forecaster.boosters, *forecaster.quantile_boosters)


def _trees(text: str) -> str:
    """The trees of a booster's text, without its parameters."""
    return text.partition("\nparameters:")[0]


def _noise(rows: pl.DataFrame, seed: int = 1) -> pl.DataFrame:
    return rows.with_columns(pl.Series(ETA, np.random.default_rng(seed).normal(size=rows.height)))


def test_the_builder_makes_forecast_features(frame: pl.DataFrame) -> None:
    """The rows that these tests train on are what the layer's schema accepts."""
    assert ForecastFeatures.validate(frame).equals(frame)
    next_volume = pl.col(columns.VOLUME).shift(-1).over(columns.SYMBOL)
    assert frame.select((pl.col(NEXT_VOLUME) == next_volume).all()).item()


def test_equal_rows_give_equal_forecasters(rows: pl.DataFrame, trained: Forecaster) -> None:
    """A second training gives, byte for byte, the same texts, and the same everything else."""
    again = train_forecaster(rows.clone(), PARAMETERS)
    assert _texts(again) == _texts(trained)
    assert again == trained


def test_another_seed_gives_another_forecaster(rows: pl.DataFrame, trained: Forecaster) -> None:
    """The seed moves the trees of the mean and of every quantile, not only a parameter."""
    other = train_forecaster(rows, small_parameters(random_state=43))
    for one, another in zip(_texts(trained), _texts(other), strict=True):
        assert _trees(one) != _trees(another)


@pytest.mark.parametrize(
    "levels", [(0.1, 0.25, 0.5, 0.75, 0.9), (0.05, 0.1, 0.5, 0.9, 0.95)], ids=str
)
def test_mean_does_not_depend_on_the_quantiles(
    rows: pl.DataFrame, trained: Forecaster, levels: tuple[float, ...]
) -> None:
    """Other levels give as many other quantiles, and the same boosters of the mean."""
    other = train_forecaster(rows, small_parameters(quantiles=levels))
    assert other.boosters == trained.boosters
    assert (other.levels, len(other.quantile_boosters)) == (levels, len(levels))
    assert {len(offsets) for offsets in other.offsets} == {len(levels)}


def test_nothing_but_features_is_learnt_from(rows: pl.DataFrame, trained: Forecaster) -> None:
    """Columns that are no features, the target's volume among them, do not move a tree."""
    random = np.random.default_rng(5)
    names = (columns.CLOSE, columns.VOLUME, BASE, NEXT_VOLUME, BARS_SO_FAR)
    other = rows.with_columns(pl.Series(name, random.permutation(rows[name])) for name in names)
    other = other.with_columns(pl.lit("X").alias(columns.SYMBOL))
    assert _texts(train_forecaster(other, PARAMETERS)) == _texts(trained)


def test_each_booster_has_its_own_sample(rows: pl.DataFrame) -> None:
    """With fewer rows than there are, boosters of equal seeds and all features differ."""
    every = {"boosters": 2, "bagging_fraction": 1.0, "feature_fraction": 1.0, "max_rows": 300}
    assert rows.height > 2 * 300
    sampled = train_forecaster(rows, small_parameters(**every))
    whole = train_forecaster(rows, small_parameters(**every | {"max_rows": rows.height}))
    first, second = map(_trees, sampled.boosters)
    assert first != second
    assert _trees(whole.boosters[0]) == _trees(whole.boosters[1])
    assert sampled.training.rows == 2 * 300
    assert whole.training.rows == rows.height


def test_quantiles_have_a_smaller_sample(rows: pl.DataFrame) -> None:
    """Boosters of quantiles see at most ``quantile_rows`` rows, the mean's booster all."""
    parameters = small_parameters(quantile_rows=150, bagging_fraction=1.0)
    trained = train_forecaster(rows, parameters)
    assert set(map(_rows_trained_on, trained.quantile_boosters)) == {150}
    assert list(map(_rows_trained_on, trained.boosters)) == [rows.height]


def _rows_trained_on(text: str) -> int:
    root = Booster(model_str=text).dump_model()["tree_info"][0]["tree_structure"]
    return int(root["internal_count"])


def test_samples_are_reproducible(rows: pl.DataFrame) -> None:
    """Equal rows and seeds give equal samples, and so equal forecasters."""
    parameters = small_parameters(max_rows=300)
    assert train_forecaster(rows, parameters) == train_forecaster(rows, parameters)


def test_boosters_name_the_features_in_order(trained: Forecaster) -> None:
    """Every booster takes the registry's features of the layer, and the target is none of them."""
    assert trained.features == FEATURE_NAMES
    for text in _texts(trained):
        assert Booster(model_str=text).feature_name() == list(FEATURE_NAMES)
    assert not {ETA, NEXT_VOLUME, columns.TARGET_DATE} & set(FEATURE_NAMES)


def test_a_forecaster_takes_the_features_of_its_layer(rows: pl.DataFrame) -> None:
    """Without the features of an event that an exchange lacks, the others are learnt from."""
    events = {ScheduledEvent.OPTION_EXPIRY, ScheduledEvent.RUSSELL_RECONSTITUTION}
    lacking = [feature.name for feature in FORECAST_FEATURES if feature.event in events]
    trained = train_forecaster(rows.drop(lacking), PARAMETERS, "XLON")
    assert trained.features == tuple(name for name in FEATURE_NAMES if name not in lacking)
    assert trained.exchange == "XLON"
    assert len(lacking) == 14


def test_signal_is_learnt(frame: pl.DataFrame) -> None:
    """On sessions held out the forecast beats an eta of zero by a good part of the signal."""
    first = frame[columns.TARGET_DATE].unique().sort()[60]
    known = frame.filter(pl.col(ETA).is_not_null())
    forecaster = train_forecaster(known.filter(first > TARGET), PARAMETERS)
    late = known.filter(first <= TARGET)
    error = late[ETA].to_numpy() - _eta(forecaster, late)
    assert np.square(error).sum() < 0.75 * np.square(late[ETA].to_numpy()).sum()
    shares = forecaster.importance()
    assert set(sorted(shares, key=lambda name: shares[name])[-len(SIGNAL) :]) == set(SIGNAL)


def test_late_targets_choose_and_calibrate_only(rows: pl.DataFrame, trained: Forecaster) -> None:
    """The quantiles' boosters do not see the sessions that calibrate them; the mean does."""
    first = trained.training.validated_from
    changed = change_targets(rows, first <= TARGET)
    other = train_forecaster(changed, PARAMETERS)
    assert other.quantile_boosters == trained.quantile_boosters
    assert other.offsets != trained.offsets
    one, another = (
        train_forecaster(frame, small_parameters(n_estimators=1)) for frame in (rows, changed)
    )
    assert _trees(one.boosters[0]) != _trees(another.boosters[0])


def test_quantiles_hold_on_the_sessions_that_calibrate_them() -> None:
    """Of the late rows of each bucket of many rows, the share below a quantile is its level."""
    rows = forecast_frame(sessions=400).filter(pl.col(ETA).is_not_null())
    erratic = pl.col(LIQUIDITY).is_between(np.log(5e6), np.log(1e8))
    rows = rows.with_columns(pl.when(erratic).then(3 * pl.col(ETA)).otherwise(ETA).alias(ETA))
    forecaster = train_forecaster(rows, small_parameters(validation_share=0.5))
    first = forecaster.training.validated_from
    for bucket in (erratic, pl.col(LIQUIDITY).is_between(np.log(1e5), np.log(1e6))):
        late = rows.filter(first <= TARGET, bucket)
        assert late.height > MIN_ROWS
        shares = forecaster.predict(late, num_threads=1)
        ma5 = np.exp(late[BASE].to_numpy()) / late[columns.CLOSE].to_numpy()
        for level in LEVELS:
            eta = np.log(shares[quantile_name(level)].to_numpy() / ma5)
            assert np.mean(late[ETA].to_numpy() <= eta) == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_last_sessions_validate(rows: pl.DataFrame, share: float) -> None:
    """The sessions that validate are the last ones, and about the share asked for."""
    training = train_forecaster(rows, small_parameters(validation_share=share)).training
    sessions = rows[columns.TARGET_DATE].unique().sort().to_list()
    late = sum(session >= training.validated_from for session in sessions)
    assert late == pytest.approx(share * len(sessions), abs=1)


@pytest.mark.parametrize(("sessions", "share"), [(2, 0.6), (10, 0.9)])
def test_some_session_comes_early(sessions: int, share: float) -> None:
    """However large the share that validates, the first session is fitted to."""
    rows = forecast_frame(symbols=30, sessions=sessions + 1).filter(pl.col(ETA).is_not_null())
    training = train_forecaster(rows, small_parameters(validation_share=share)).training
    assert training.validated_from > training.first_session


@pytest.mark.parametrize("most", [1, 3, 20])
def test_mean_has_the_trees_that_early_stopping_found(rows: pl.DataFrame, most: int) -> None:
    """The mean's booster has the number of trees in the summary, and no more than allowed."""
    forecaster = train_forecaster(rows, small_parameters(n_estimators=most))
    trees = Booster(model_str=forecaster.boosters[0]).num_trees()
    assert trees == forecaster.training.trees
    assert 1 <= trees <= most


def test_training_on_noise_stops_early(rows: pl.DataFrame) -> None:
    """Where there is nothing to learn, fewer trees are grown than allowed."""
    forecaster = train_forecaster(_noise(rows), small_parameters(learning_rate=0.5))
    assert forecaster.training.trees <= 5


def test_quantiles_have_the_trees_asked_for(trained: Forecaster) -> None:
    """Early stopping applies to the mean; the quantiles' boosters have the trees asked for."""
    trees = [Booster(model_str=text).num_trees() for text in trained.quantile_boosters]
    assert trees == [PARAMETERS.quantile_trees] * len(LEVELS)


def test_boosters_have_seeds_of_their_own(rows: pl.DataFrame, trained: Forecaster) -> None:
    """Of several boosters each differs, the first is that of a single one, and they average."""
    several = train_forecaster(rows, small_parameters(boosters=3))
    assert len({_trees(text) for text in several.boosters}) == 3
    assert several.boosters[0] == trained.boosters[0]
    matrix = rows.select(FEATURE_NAMES).to_numpy()
    each = predict_each([boosters.Booster.from_text(text) for text in several.boosters], matrix, 1)
    assert _eta(several, rows) == pytest.approx(each.mean(axis=1), abs=1e-9)


def test_quantized_gradients_can_be_summed(rows: pl.DataFrame) -> None:
    """Quantized training gives another forecaster, which repeats, and learns as well.

    On all rows and features: with a part of them LightGBM 4.7 sums over the wrong rows.
    """
    every = {"bagging_fraction": 1.0, "feature_fraction": 1.0}
    exact = train_forecaster(rows, small_parameters(**every))
    quantized, again = (
        train_forecaster(rows, small_parameters(**every, quantized=True)) for _ in range(2)
    )
    assert _texts(quantized) == _texts(again)
    assert _trees(quantized.boosters[0]) != _trees(exact.boosters[0])
    assert np.corrcoef(_eta(quantized, rows), _eta(exact, rows))[0, 1] > 0.9


@pytest.mark.parametrize(
    ("symbols", "sessions", "kept", "words"),
    [
        (12, 80, 0, "0 symbol-days of 0 sessions"),
        (12, 80, 49, "49 symbol-days of 49 sessions"),
        (60, 2, 60, "60 symbol-days of 1 sessions"),
    ],
)
def test_too_few_rows_are_refused(symbols: int, sessions: int, kept: int, words: str) -> None:
    """Fewer than fifty rows, or rows of one session only, are refused with their number."""
    rows = forecast_frame(symbols, sessions).filter(pl.col(ETA).is_not_null()).head(kept)
    with pytest.raises(TooFewRowsError, match=words):
        train_forecaster(rows, PARAMETERS)


@pytest.mark.parametrize("least", [60, 252])
def test_too_few_rows_tell_which_parameter_asks_for_history(rows: pl.DataFrame, least: int) -> None:
    """The error names the parameter that keeps young symbols out, with its value."""
    with pytest.raises(TooFewRowsError, match=rf"{least} bars \(forecaster\.min_sessions\)"):
        train_forecaster(rows.head(10), small_parameters(min_sessions=least))


def test_fifty_rows_are_enough(rows: pl.DataFrame) -> None:
    """Fifty rows of several sessions are trained on."""
    forecaster = train_forecaster(rows.head(50), PARAMETERS)
    assert forecaster.training.rows == 50
    assert np.isfinite(_eta(forecaster, rows)).all()


def test_too_few_rows_is_an_error_to_act_on() -> None:
    """The error is among those that the package raises on purpose."""
    assert issubclass(TooFewRowsError, StockVolumeError)


@pytest.mark.parametrize("value", [None, 1.5], ids=["unknown", "constant"])
def test_features_that_tell_nothing_are_survived(rows: pl.DataFrame, value: float | None) -> None:
    """Of features without information a forecast is made, the same for all rows."""
    constant = pl.lit(value, dtype=pl.Float32)
    empty = rows.with_columns(constant.alias(name) for name in FEATURE_NAMES)
    forecaster = train_forecaster(empty, PARAMETERS)
    assert np.ptp(_eta(forecaster, empty)) == pytest.approx(0, abs=1e-9)


def test_training_is_summarised(rows: pl.DataFrame, trained: Forecaster) -> None:
    """The summary has the windows, rows, symbols and parameters; not the number of threads."""
    summary = trained.training
    targets = rows[columns.TARGET_DATE].to_list()
    assert (summary.first_session, summary.last_session) == (min(targets), max(targets))
    assert (summary.rows, summary.symbols) == (rows.height, rows[columns.SYMBOL].n_unique())
    assert summary.parameters == PARAMETERS.model_copy(update={"num_threads": 0})
    assert TrainingSummary.model_validate_json(summary.model_dump_json()) == summary


def _rows_to_weigh(spread: list[float | None], days: list[int] | None = None) -> pl.DataFrame:
    first = date(2020, 1, 1)
    return pl.DataFrame(
        {
            ABNORMAL_STD: pl.Series(spread, dtype=pl.Float32),
            columns.ETF: [False] * len(spread),
            columns.TARGET_DATE: [first + timedelta(days=day) for day in days or [0] * len(spread)],
        }
    )


def test_erratic_symbols_weigh_less() -> None:
    """A row weighs the inverse of its symbol's spread, within bounds; an unknown one is usual."""
    weights = row_weights(_rows_to_weigh([0.25, 0.5, 1.0, 0.01, 0.2, 2.0, 9.0, None]), PARAMETERS)
    assert weights == pytest.approx([4, 2, 1, 5, 5, 0.5, 0.5, 1.25], rel=1e-6)


@pytest.mark.parametrize("half_life", [1.0, 2.0, 250.0])
def test_weight_halves_with_age(half_life: float) -> None:
    """Age counts in sessions of the rows, not in days; the latest session's rows count whole."""
    days = [0, 7, 3, 0, 7, 4]
    aged = row_weights(
        _rows_to_weigh([1.0] * len(days), days), small_parameters(half_life_sessions=half_life)
    )
    ages = [3, 0, 2, 3, 0, 1]
    assert aged == pytest.approx([0.5 ** (age / half_life) for age in ages])


@pytest.mark.parametrize("weight", [0.3, 1.0, 2.0])
def test_etfs_weigh_as_given(weight: float) -> None:
    """An ETF's row weighs the given share of a stock's of the same spread, known or not."""
    stocks = _rows_to_weigh([0.5, 1.0, None])
    etfs = stocks.with_columns(~pl.col(columns.ETF))
    of_stocks, of_etfs = (
        row_weights(rows, small_parameters(etf_weight=weight)) for rows in (stocks, etfs)
    )
    assert of_stocks == pytest.approx([2, 1, 1.25])
    assert of_etfs == pytest.approx(weight * of_stocks)


def test_age_kind_and_spread_multiply() -> None:
    """Of rows equally old the steady one still weighs more, by as much, and an ETF less."""
    rows = _rows_to_weigh([0.5, 1.0, 0.5, 1.0], [0, 0, 1, 1])
    rows = rows.with_columns(pl.Series(columns.ETF, [False, False, False, True]))
    weights = row_weights(rows, small_parameters(half_life_sessions=1, etf_weight=0.5))
    assert weights == pytest.approx([1, 0.5, 2, 0.5], rel=1e-6)


@pytest.mark.parametrize("changed", [{"half_life_sessions": 5}, {"etf_weight": 1.0}], ids=str)
def test_weights_are_learnt_with(
    rows: pl.DataFrame, trained: Forecaster, changed: dict[str, float]
) -> None:
    """Other weights of rows, by their age or kind, move the trees of the mean and a quantile."""
    weighed = train_forecaster(rows, small_parameters(**changed))
    assert _trees(weighed.boosters[0]) != _trees(trained.boosters[0])
    assert _trees(weighed.quantile_boosters[0]) != _trees(trained.quantile_boosters[0])


@pytest.mark.parametrize("least", [1, 30, 79, 500])
def test_training_rows_have_history_and_target(least: int) -> None:
    """Rows without a target, or of symbols with fewer bars than asked for, are left out."""
    frame = forecast_frame(symbols=3, history=0)
    kept = training_rows(frame.lazy(), small_parameters(min_sessions=least)).collect()
    places = frame.select(BARS_SO_FAR, pl.col(ETA).is_null()).rows()
    expected = [n for n, (bars, lacks) in enumerate(places) if bars >= least and not lacks]
    assert kept.equals(frame[expected])


@pytest.mark.parametrize("years", [0.05, 0.1, 3.0])
def test_latest_training_rows_are_of_the_latest_years(years: float) -> None:
    """The window ends with the last session whose volume is known, and is as long as given."""
    frame = forecast_frame(symbols=3)
    known = frame.filter(pl.col(ETA).is_not_null())
    last = known[columns.TARGET_DATE].to_list()[-1]
    days = known[columns.TARGET_DATE].to_list()
    expected = [n for n, day in enumerate(days) if (last - day).days < round(years * 365.25)]
    rows = latest_training_rows(frame.lazy(), small_parameters(train_years=years)).collect()
    assert rows.equals(known[expected])


def test_latest_training_rows_have_history() -> None:
    """The least history of a symbol holds for the shipped forecaster, too."""
    frame = forecast_frame(symbols=3, history=0)
    rows = latest_training_rows(frame.lazy(), small_parameters(min_sessions=40)).collect()
    assert rows[BARS_SO_FAR].min() == 40


def _mean_parameters(
    rows: int, parameters: ForecasterParameters, number: int = 0
) -> dict[str, Any]:
    return lightgbm_parameters(mean_settings(rows, parameters, number))


def _quantile_parameters(
    rows: int, level: float, parameters: ForecasterParameters
) -> dict[str, Any]:
    return lightgbm_parameters(quantile_settings(rows, level, parameters))


@pytest.mark.parametrize(
    ("rows", "asked", "expected"),
    [(0, 500, 20), (1000, 500, 20), (10_000, 500, 100), (10**6, 500, 500), (10**6, 5, 5)],
)
def test_leaves_are_smaller_on_small_data(rows: int, asked: int, expected: int) -> None:
    """A leaf has a hundredth of few rows at the least, twenty of very few, or what is asked."""
    parameters = small_parameters(min_rows_in_leaf=asked)
    for made in (_mean_parameters(rows, parameters), _quantile_parameters(rows, 0.1, parameters)):
        assert made["min_data_in_leaf"] == expected


@pytest.mark.parametrize(
    ("name", "value", "of_mean", "of_quantile"),
    [
        ("n_estimators", 7, {"num_iterations": 7}, {}),
        ("learning_rate", 0.3, {"learning_rate": 0.3}, {}),
        ("num_leaves", 9, {"num_leaves": 9}, {}),
        ("quantile_trees", 7, {}, {"num_iterations": 7}),
        ("quantile_learning_rate", 0.7, {}, {"learning_rate": 0.7}),
        ("quantile_leaves", 9, {}, {"num_leaves": 9}),
        ("feature_fraction", 0.3, *[{"feature_fraction": 0.3}] * 2),
        ("bagging_fraction", 0.3, *[{"bagging_fraction": 0.3}] * 2),
        ("lambda_l2", 0.3, *[{"lambda_l2": 0.3}] * 2),
        ("max_bin", 63, *[{"max_bin": 63}] * 2),
        ("num_threads", 2, *[{"num_threads": 2}] * 2),
        ("random_state", 7, *[{"seed": 7}] * 2),
    ],
)
def test_parameters_reach_lightgbm(
    name: str, value: object, of_mean: dict[str, Any], of_quantile: dict[str, Any]
) -> None:
    """A parameter changes what it is said to change, in the mean and the quantiles, only."""
    before, after = small_parameters(), small_parameters(**{name: value})
    assert (
        dict(_mean_parameters(10**6, after).items() - _mean_parameters(10**6, before).items())
        == of_mean
    )
    assert (
        dict(
            _quantile_parameters(10**6, 0.1, after).items()
            - _quantile_parameters(10**6, 0.1, before).items()
        )
        == of_quantile
    )


def test_boosters_of_the_mean_differ_by_their_seed() -> None:
    """The number of a booster moves its seed, and the level of a quantile its objective."""
    first, third = (_mean_parameters(1000, PARAMETERS, number) for number in (0, 2))
    assert dict(third.items() - first.items()) == {"seed": PARAMETERS.random_state + 2}
    made = _quantile_parameters(1000, 0.9, PARAMETERS)
    assert (made["objective"], made["alpha"]) == ("quantile", 0.9)
