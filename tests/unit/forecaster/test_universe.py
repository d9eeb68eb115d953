"""Which symbols are common stocks, and which bucket of liquidity one is in."""

import math
from typing import Any

import polars as pl
import pytest

from stock_volume import columns
from stock_volume.forecaster.universe import BUCKETS, bucket_number, is_common_stock

EDGES = (1e5, 1e6, 5e6, 1e8)
"""Dollars a day at which the buckets meet."""


def _is_common(name: str | None, *, etf: bool = False) -> bool:
    names = pl.Series([name], dtype=pl.String)
    frame = pl.DataFrame({columns.SYMBOL: ["A"], columns.SECURITY_NAME: names, columns.ETF: [etf]})
    common = frame.select(is_common_stock())
    assert common.to_series().null_count() == 0
    return bool(common.item())


def _buckets(sizes: list[float | None], dtype: Any = pl.Float32) -> list[int]:
    frame = pl.DataFrame({"size": pl.Series(sizes, dtype=dtype)})
    return frame.select(bucket_number()).to_series().to_list()


@pytest.mark.parametrize(
    "name",
    [
        "Apple Inc. - Common Stock",
        "Agilent Technologies, Inc. Common Stock",
        "Alphabet Inc. - Class C Capital Stock",
        "Berkshire Hathaway Inc. Class B New Common Stock",
        "Atlassian Corporation Plc - Class A Ordinary Shares",
        "Aon plc Class A Ordinary Shares (Ireland)",
        "Royal Bank of Canada Common Shares",
        "United Airlines Holdings, Inc. - Common Stock",
        "United States Steel Corporation Common Stock",
        "UnitedHealth Group Incorporated Common Stock (DE)",
        "Community Bancorp United - Common Stock",
        "Wright Medical Group N.V. - Ordinary Shares",
        "Bright Horizons Family Solutions Inc. Common Stock",
        "Arcturus Copyright Holdings - Common Stock",
        "Notable Labs, Ltd. - Ordinary Shares",
        "Keynote Systems, Inc. - Common Stock",
        "Fundtech Ltd. - Ordinary Shares",
        "Fundamental Global Inc. - Common Stock",
        "Vagabond Shoes Inc. - Common Stock",
        "Adstar Inc. - Common Stock",
        "Adrenalina - Common Stock",
    ],
)
def test_stocks_of_a_company_are_common(name: str) -> None:
    """Common and ordinary shares are common stocks, whatever the name's other words hold."""
    assert _is_common(name)
    assert _is_common(name.upper())


@pytest.mark.parametrize(
    "name",
    [
        "Alibaba Group Holding Limited American Depositary Shares each representing eight shares",
        "Baidu, Inc. - American Depository Shares, each representing one tenth Class A share",
        "Advanced Semiconductor Engineering, Inc. American Depsitary Shares",
        "Braskem SA ADR",
        "NetEase, Inc. - ADS",
        "Sanofi ADRs",
        "Acamar Partners Acquisition Corp. - Units",
        "Act II Global Acquisition Corp. - Unit",
        "Enbridge Energy, L.P. Class A Common Units",
        "Act II Global Acquisition Corp. - Warrants",
        "American Virtual Cloud Technologies, Inc. - Warrant expiring 4/7/2025",
        "Agba Acquisition Limited - Right",
        "Alberton Acquisition Corporation - Rights exp April 26, 2021",
        "AT&T Inc. 5.350% Global Notes due 2066",
        "Babcock & Wilcox Enterprises, Inc. - 8.125% Senior Note due 2026",
        "Entergy Arkansas, Inc. First Mortgage Bonds, 4.875% Series due 2066",
        "DTE Energy Company 2016 Series B 5.375% Junior Subordinated Debentures due 2076",
        "Ashford Hospitality Trust Inc 8.45% Series D Cumulative Preferred Stock",
        "Bank of America Corporation Non Cumulative Perpetual Conv Pfd Ser L",
        "The Gabelli Equity Trust Closed End Fund",
        "Nuveen Municipal Trust Closed-End",
        "Adams Diversified Equity Fund, Inc.",
        "Equity Residential Common Shares of Beneficial Interest",
        "Adams Natural Resources Fund - Common Stock",
        "Acme Holdings - Common Stock - Warrants",
    ],
)
def test_other_securities_are_not_common(name: str) -> None:
    """Receipts, units, warrants, rights, debt, preferred stock and funds are not common."""
    assert not _is_common(name)
    assert not _is_common(name.upper())


@pytest.mark.parametrize(
    "name",
    [
        "Preferred Bank - Common Stock",
        "Preferred Apartment Communities, Inc. Common Stock",
        "Unit Corporation Common Stock",
        "Beneficial Bancorp, Inc. - Common Stock",
        "Acme Holdings - Preferred Units - Common Stock",
    ],
)
def test_a_company_may_be_named_like_a_kind_of_security(name: str) -> None:
    """What the name says the security is counts, not what the company is called."""
    assert _is_common(name)


@pytest.mark.parametrize("name", [None, "", "A"])
def test_a_stock_without_a_name_is_not_common(name: str | None) -> None:
    """A stock named by its symbol alone may be a preferred stock or a warrant."""
    assert not _is_common(name)


@pytest.mark.parametrize("name", [None, "", "SPDR S&P 500", "Apple Inc. - Common Stock"])
def test_an_etf_is_never_common(name: str | None) -> None:
    """An ETF is not a common stock, whatever its name."""
    assert not _is_common(name, etf=True)


@pytest.mark.parametrize(("dtype", "step"), [(pl.Float32, 1e-4), (pl.Float64, 1e-9)])
@pytest.mark.parametrize(("lower", "edge"), list(enumerate(EDGES)))
def test_buckets_meet_at_their_edges(lower: int, edge: float, dtype: Any, step: float) -> None:
    """Just below an edge is the lower bucket, just above it the next."""
    around = [math.log(edge * (1 - step)), math.log(edge * (1 + step))]
    assert _buckets(list(around), dtype) == [lower, lower + 1]


def test_every_size_has_a_bucket() -> None:
    """From no dollars to any number of them, each bucket is met, in order."""
    sizes = [math.log(dollars) for dollars in (1e-3, 5e5, 2e6, 5e7, 1e12)]
    assert _buckets(list(sizes)) == list(range(len(BUCKETS)))


def test_an_unknown_size_is_in_the_lowest_bucket() -> None:
    """Where the size is null, the bucket is the first, and no null."""
    assert _buckets([None, math.log(1e12)]) == [0, len(BUCKETS) - 1]
