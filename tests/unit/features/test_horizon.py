"""Outcomes beyond the next session: against plain pandas, and what is known when."""

from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pytest

from stock_volume import columns
from stock_volume.features.horizon import Horizon, known_by, list_horizons
from stock_volume.features.registry import ETA, NEXT_VOLUME, forecast_features
from tests.unit.forecast_oracles import random_bars, sessions_of

HORIZONS = list_horizons((1, 2, 5), (2, 5))
BARS = random_bars(3).filter(pl.col("Symbol") != "HOLIDAYS")
"""Without the symbol that has bars of days on which there was no session."""

SESSIONS = sessions_of(BARS)
ROWS = forecast_features(BARS, SESSIONS, horizons=HORIZONS)


def expected(horizon: Horizon) -> pd.DataFrame:
    """Look the sessions ahead up, one by one, in a table of sessions by symbols."""
    bars = BARS.select("Symbol", "Date", "Volume", "Close").to_pandas()
    sessions = pd.Index(SESSIONS["Date"].to_pandas())
    ahead = range(1, horizon.sessions + 1) if horizon.total else [horizon.sessions]
    tables = []
    for symbol, own in bars.groupby("Symbol"):
        on_session = own.set_index("Date")[["Volume", "Close"]].reindex(sessions)
        dollars = on_session["Volume"] * on_session["Close"]
        volume = sum(on_session["Volume"].shift(-number) for number in ahead)
        mean = sum(dollars.shift(-number) for number in ahead) / horizon.scale
        tables.append(pd.DataFrame({"Symbol": symbol, "volume": volume, "mean": mean}))
    return pd.concat(tables).set_index("Symbol", append=True)


@pytest.mark.parametrize("horizon", HORIZONS, ids=lambda horizon: horizon.name)
def test_outcomes_equal_a_look_up(horizon: Horizon) -> None:
    """Volumes and etas are what a table of sessions and symbols has."""
    found = ROWS.select("Date", "Symbol", "base", horizon.volume, horizon.eta).to_pandas()
    wanted = expected(horizon).loc[list(zip(found["Date"], found["Symbol"], strict=True))]
    np.testing.assert_allclose(found[horizon.volume].astype(float), wanted["volume"])
    with np.errstate(divide="ignore"):
        eta = np.log(wanted["mean"].to_numpy()) - found["base"]
    np.testing.assert_allclose(found[horizon.eta], eta.where(np.isfinite(eta)), rtol=1e-9)
    assert found[horizon.eta].notna().sum() > 0
    assert found[horizon.eta].isna().sum() > 0


def test_the_first_horizon_is_the_next_session() -> None:
    """A horizon of one session has the target that the forecaster has anyway."""
    one = HORIZONS[0]
    assert ROWS[one.volume].equals(ROWS[NEXT_VOLUME], check_names=False)
    np.testing.assert_allclose(ROWS[one.eta].to_numpy(), ROWS[ETA].to_numpy(), rtol=1e-12)


def test_outcomes_do_not_depend_on_the_other_symbols() -> None:
    """Each symbol's outcomes are the same to the last bit without the others."""
    for symbol in BARS["Symbol"].unique():
        alone = forecast_features(BARS.filter(Symbol=symbol), SESSIONS, horizons=HORIZONS)
        for horizon in HORIZONS:
            names = [horizon.volume, horizon.eta]
            assert alone.select(names).equals(ROWS.filter(Symbol=symbol).select(names))


def test_an_outcome_is_known_once_its_last_session_is_over() -> None:
    """At the end of a window, an outcome that reaches beyond it is unknown."""
    days = [date(2020, 1, day) for day in (2, 3, 6, 7, 8)]
    horizons = (Horizon(2), Horizon(5, total=True), Horizon(6))
    rows = pl.DataFrame({columns.TARGET_DATE: days, **{h.eta: [1.0] * 5 for h in horizons}})
    known = rows.with_columns(known_by(horizons, rows[columns.TARGET_DATE]))
    assert known["eta_h2"].to_list() == [1, 1, 1, 1, None]
    assert known["eta_total_5"].to_list() == [1, None, None, None, None]
    assert known["eta_h6"].to_list() == [None] * 5
