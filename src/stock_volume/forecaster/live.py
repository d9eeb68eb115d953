"""The forecast of the session that has not come yet."""

import polars as pl

from stock_volume import columns
from stock_volume.features.quantities import BASE
from stock_volume.forecaster.model import Forecaster
from stock_volume.forecaster.parameters import ForecasterParameters


def latest_rows(features: pl.LazyFrame, parameters: ForecasterParameters) -> pl.DataFrame:
    """Take the latest row of each live symbol.

    Args:
        features: Rows of ``forecast_features``.
        parameters: Tell how old the latest bar of a live symbol may be.

    Returns:
        One row a symbol whose latest bar is among the latest sessions, and that has
        traded on any of its last five bars.
    """
    days = features.select(pl.col(columns.DATE).unique().sort()).collect(engine="streaming")
    oldest = days[columns.DATE].tail(parameters.live_sessions).min()
    return (
        features.filter(pl.col(columns.DATE) >= oldest)
        .filter(pl.col(columns.DATE) == pl.col(columns.DATE).max().over(columns.SYMBOL))
        .filter(pl.col(BASE).is_not_null() & pl.col(columns.TARGET_DATE).is_not_null())
        .collect()
    )


def forecast_next_session(
    forecaster: Forecaster, features: pl.LazyFrame, parameters: ForecasterParameters
) -> pl.DataFrame:
    """Forecast the next session of every live symbol from its latest bar.

    Args:
        forecaster: The trained forecaster.
        features: Rows of ``forecast_features``.
        parameters: Tell which symbols are live.

    Returns:
        Symbol, Date (of the latest bar, which the features are of), TargetDate, and in
        shares the forecast and the quantiles.
    """
    rows = latest_rows(features, parameters)
    return forecaster.predict(rows, parameters.num_threads)
