"""Updates through the command: in two parts as at once, and twice as once."""

import hashlib
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_volume.bars.sample import lay_out_sample
from tests.e2e.runs import Run, add_foreign_models, kedro_run, pinned, served, serving
from tests.unit.servers import Answer, Server, answering

CUT = "2013-02-01"
"""The last session of the first part; the sample goes on for a month."""

SPLIT = 4
LAYERS = (
    "02_intermediate/prices",
    "03_primary/sessions",
    "04_feature/features",
    "04_feature/forecast_features",
)
STAGING = {"recent_prices.parquet", "recent_quarantine.parquet", "recent_files.parquet"}


def rewritten(source: Path, folder: Path, keep: Callable[[str], bool]) -> Path:
    """Copy the sample with some of its rows."""
    shutil.copytree(source, folder)
    for file in folder.rglob("stocks/*.csv"):
        header, *rows = file.read_text(encoding="utf-8").splitlines()
        kept = [row for row in rows if keep(row[:10])]
        file.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample as a folder."""
    return lay_out_sample(tmp_path_factory.mktemp("source") / "sample")


@pytest.fixture(scope="module")
def first_part(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on the sample up to the cut."""
    folder = tmp_path_factory.mktemp("update")
    source = rewritten(sample, folder / "old", lambda day: day <= CUT)
    run = kedro_run(folder / "data", folder / "store", params={"source": source})
    assert run.process.returncode == 0, run.output
    return run


def updated(run: Run, source: object, *arguments: str) -> Run:
    return kedro_run(
        run.data_root, run.store, "--pipelines", "update", *arguments, params={"source": source}
    )


def updated_by(run: Run, server: Server, **params: object) -> Run:
    """Update from a server of a file a symbol."""
    address = f"{server.url}/{{symbol}}.csv"
    return kedro_run(
        run.data_root,
        run.store,
        *("--env", "http", "--pipelines", "update"),
        params={"url": address, **params},
    )


def copy_of(run: Run, folder: Path) -> Run:
    shutil.copytree(run.data_root, folder / "data")
    return Run(folder / "data", run.store, run.process)


def contents(run: Run) -> dict[str, str]:
    """Digest all files of a run but the staged answer of the source and the manifests."""
    return {
        path.relative_to(run.data_root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in run.data_root.rglob("*")
        if path.is_file() and path.name not in STAGING and "manifest" not in path.as_posix()
    }


def frame(run: Run, layer: str) -> pl.DataFrame:
    return pl.read_parquet(run.path(f"{layer}.parquet"))


def tags(run: Run) -> list[str]:
    return sorted(path.name for path in (run.store / "bentos" / "stock_volume").iterdir())


def test_an_update_makes_what_a_full_run_makes(
    first_part: Run, sample_run: Run, sample: Path, tmp_path: Path
) -> None:
    """After an update, each layer equals that of one run on all bars; a second changes nothing."""
    run = copy_of(first_part, tmp_path)
    trained = pinned(run)
    add_foreign_models(run.store)
    first = updated(run, sample)
    assert first.process.returncode == 0, first.output
    for layer in LAYERS:
        assert_frame_equal(frame(run, layer), frame(sample_run, layer), check_exact=True)
    report = run.report("update.json")
    assert report["rows"] == {"read": 12154, "kept": 95, "known": 12059, "quarantined": 0}
    assert report["latest_session"] == "2013-03-01"
    assert report["restatements"]["count"] == report["rebasings"]["count"] == 0
    assert run.report("data_quality.json")["rows"]["known"] == 12059
    forecasts = frame(run, "07_model_output/forecasts")
    assert set(forecasts["TargetDate"].cast(pl.String)) == {"2013-03-04"}
    origins = sorted(path.stem for path in run.path("07_model_output", "forecast_log").iterdir())
    sessions = frame(run, "03_primary/sessions")["Date"].cast(pl.String)
    assert origins == [day for day in sessions if day >= CUT]
    before, bentos = contents(run), tags(run)

    again = updated(run, sample)
    assert again.process.returncode == 0, again.output
    assert "nothing is new" in again.output
    assert contents(run) == before
    assert tags(run) == bentos
    with serving(run, tmp_path, "stock_volume:latest") as client:
        answer = client.get("/forecast/AAPL").raise_for_status().json()
        models = served(client)
    assert answer["session"] == "2013-03-04"
    # The store is shared: its newest models are another data root's.
    assert models == trained | {"snapshot": models["snapshot"]}
    assert models["snapshot"] != trained["snapshot"]


def test_an_update_from_what_was_read(first_part: Run, tmp_path: Path) -> None:
    """The source of the run itself has no news, even for the first update."""
    run = copy_of(first_part, tmp_path)
    before = contents(run)
    done = updated(run, first_part.data_root.parent / "old")
    assert done.process.returncode == 0, done.output
    assert "nothing is new" in done.output
    lists = {f"02_intermediate/{name}.parquet" for name in ("restatements", "rebasings")}
    after = contents(run)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == lists


def test_a_split_since_the_last_update(first_part: Run, sample: Path, tmp_path: Path) -> None:
    """A split between two updates rescales the past, and a corrected volume is reported."""
    run = copy_of(first_part, tmp_path)
    recent = rewritten(sample, tmp_path / "recent", lambda day: day >= "2013-01-02")
    ibm = recent / "stocks" / "IBM.csv"
    header, *rows = ibm.read_text(encoding="utf-8").splitlines()
    split = [header]
    for row in rows:
        day, *prices, volume = row.split(",")
        prices = [repr(float(price) / SPLIT) for price in prices]
        split.append(",".join([day, *prices, str(int(volume) * SPLIT)]))
    ibm.write_text("\n".join(split) + "\n", encoding="utf-8")
    aapl = recent / "stocks" / "AAPL.csv"
    lines = aapl.read_text(encoding="utf-8").splitlines()
    assert lines[15].startswith("2013-01-23,")
    lines[15] = lines[15].rsplit(",", 1)[0] + ",77"
    aapl.write_text("\n".join(lines) + "\n", encoding="utf-8")

    done = updated(run, recent)
    assert done.process.returncode == 0, done.output
    report = run.report("update.json")
    (rebasing,) = report["rebasings"]["first"]
    held = frame(first_part, "02_intermediate/prices").filter(Symbol="IBM")
    assert rebasing == {
        "Symbol": "IBM",
        "price_factor": 1 / SPLIT,
        "volume_factor": SPLIT,
        "adj_close_factor": 1 / SPLIT,
        "rebased_bars": held.filter(pl.col("Date") < pl.date(2013, 1, 2)).height,
    }
    (restatement,) = report["restatements"]["first"]
    assert (restatement["Symbol"], restatement["Date"]) == ("AAPL", "2013-01-23")
    assert (restatement["field"], restatement["recent"]) == ("Volume", 77)
    now = frame(run, "02_intermediate/prices").filter(Symbol="IBM").head(held.height)
    assert now["Volume"].to_list() == (held["Volume"] * SPLIT).to_list()
    assert now["Close"].to_list() == pytest.approx((held["Close"] / SPLIT).to_list())
    turnover = pl.col("Volume") * pl.col("Close")
    assert_frame_equal(now.select(turnover), held.select(turnover))


def test_symbols_that_are_not_answered_keep_their_forecasts(
    first_part: Run, sample_run: Run, sample: Path, tmp_path: Path
) -> None:
    """A server's notes in place of bars cost no symbol its forecast, and the next update mends all.

    The first update brings eight sessions of one symbol: the others have no bar among the
    latest five.
    """
    run = copy_of(first_part, tmp_path)
    recent = rewritten(sample, tmp_path / "recent", lambda day: "2013-01-02" <= day <= "2013-02-13")
    bars = (recent / "stocks" / "AAPL.csv").read_bytes()
    note = Answer(b'{"Note": "25 requests per day"}', headers={"Retry-After": "0"})
    with answering(lambda path, *_: Answer(bars) if path == "/AAPL.csv" else note) as server:
        refused = updated_by(run, server)
        assert refused.process.returncode == 1
        assert "max_failed_share = 0.1" in flowed(refused.output)
        assert contents(run) == contents(first_part)
        done = updated_by(run, server, max_failed_share=0.9)
    assert done.process.returncode == 0, done.output
    before, after = (frame(each, "07_model_output/forecasts") for each in (first_part, run))
    others = pl.col("Symbol") != "AAPL"
    assert_frame_equal(after.filter(others), before.filter(others), check_exact=True)
    assert after.filter(~others)["Date"].to_list() == [date(2013, 2, 13)]
    absent = run.report("update.json")["absent"]
    assert absent["count"] == before.height - 1
    assert {row["forecast_origin"] for row in absent["first"]} == {CUT}
    assert all("25 requests per day" in row["note"] for row in absent["first"])
    assert f"{absent['count']} symbols were not answered" in flowed(done.output)
    (logged,) = run.path("07_model_output", "forecast_log").glob("2013-02-13.parquet")
    assert pl.read_parquet(logged)["Symbol"].to_list() == ["AAPL"]

    mended = updated(run, sample)
    assert mended.process.returncode == 0, mended.output
    for layer in LAYERS:
        assert_frame_equal(frame(run, layer), frame(sample_run, layer), check_exact=True)
    forecasts = frame(run, "07_model_output/forecasts")
    assert forecasts["Symbol"].to_list() == before["Symbol"].to_list()
    assert set(forecasts["TargetDate"].cast(pl.String)) == {"2013-03-04"}
    assert run.report("update.json")["absent"]["count"] == 0


def flowed(output: str) -> str:
    """Undo the line breaks of the log."""
    return " ".join(output.split())


def test_an_update_that_was_stopped_is_completed(
    first_part: Run, sample_run: Run, sample: Path, tmp_path: Path
) -> None:
    """If an update ends after the bars were joined, the next one renews what rests on them."""
    run = copy_of(first_part, tmp_path)
    stopped = updated(run, sample, "--to-nodes", "data_processing.merge_recent_bars")
    assert stopped.process.returncode == 0, stopped.output
    assert frame(run, "02_intermediate/files")["pending"].sum() == 5
    assert frame(run, "04_feature/features").height == 12059
    completed = updated(run, sample)
    assert completed.process.returncode == 0, completed.output
    for layer in LAYERS:
        assert_frame_equal(frame(run, layer), frame(sample_run, layer), check_exact=True)
    assert frame(run, "02_intermediate/files")["pending"].sum() == 0


def test_an_update_needs_a_run(tmp_path: Path) -> None:
    """Without layers there is nothing to update, and the error says so."""
    run = kedro_run(tmp_path / "data", tmp_path / "store", "--pipelines", "update")
    assert run.process.returncode == 1
    assert "prices.parquet: no such file; run the node that makes it" in run.output
