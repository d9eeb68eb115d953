"""Sources of one's own, sound and damaged, through the command line."""

import zipfile
from pathlib import Path

import boto3
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.e2e.runs import Run, kedro_run
from tests.unit.s3 import s3_server
from tests.unit.servers import Answer, answering

HEADER = "Date,Open,High,Low,Close,Adj Close,Volume\n"
DAYS = ["2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07", "2020-01-08", "2020-01-09"]


def bars(price: float) -> str:
    return HEADER + "".join(
        f"{day},{price},{price + 1},{price - 1},{price},{price},{1000 + number}\n"
        for number, day in enumerate(DAYS)
    )


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A folder in the Kaggle layout, with sound files among damaged ones."""
    folder = tmp_path / "archive"
    (folder / "stocks").mkdir(parents=True)
    (folder / "etfs").mkdir()
    (folder / "stocks" / "AAA.csv").write_text(bars(10), encoding="utf-8")
    (folder / "etfs" / "BBB.csv").write_text(bars(20), encoding="utf-8")
    (folder / "stocks" / "EMPTY.csv").write_text("", encoding="utf-8")
    (folder / "stocks" / "BINARY.csv").write_bytes(b"\x00\x01\x02" * 100)
    (folder / "stocks" / "NOHEAD.csv").write_text("2020-01-02,1,2,1,1,1,100\n", encoding="utf-8")
    (folder / "stocks" / "UTF16.csv").write_text(bars(30), encoding="utf-16")
    (folder / "stocks" / "EXTRA.csv").write_text(
        "Date,Open,High,Low,Close,Adj Close,Volume,Note\n2020-01-02,1,2,1,1,1,100,hello\n",
        encoding="utf-8",
    )
    (folder / "stocks" / "ROWS.csv").write_text(
        HEADER
        + "2020-01-02,10,9,11,10,10,100\n"
        + "2020-01-03,10,11,9,10,10,ten\n"
        + "2020-01-04,10,11,9,10,10,100\n"
        + "2020-01-06,10,11,9,10,10,100\n"
        + "2020-01-07,10,11,9",
        encoding="utf-8",
    )
    return folder


def ingest(source: Path, folder: Path) -> Run:
    return kedro_run(
        folder / "data",
        folder / "store",
        "--pipelines",
        "data_processing",
        params={"source": source},
    )


def test_damaged_files_are_named_and_the_rest_goes_on(damaged: Path, tmp_path: Path) -> None:
    """Every damaged file and row is reported by name, and the sound ones are kept."""
    run = ingest(damaged, tmp_path)
    assert run.process.returncode == 0, run.output
    quality = run.report("data_quality.json")
    assert quality["rows"] == {"read": 24, "kept": 20, "known": 0, "quarantined": 4}
    assert quality["files"] == {
        "found": 8,
        "read": 5,
        "empty": 1,
        "unreadable": 2,
        "rejected": 0,
        "copy": 0,
        "conflicting": 0,
        "set_aside": 0,
    }
    notes = {file["file"]: file["note"] for file in quality["troubled_files"]}
    assert set(notes) == {
        f"stocks/{name}.csv" for name in ("BINARY", "EMPTY", "EXTRA", "NOHEAD", "ROWS")
    }
    prices = pl.read_parquet(run.path("02_intermediate", "prices.parquet"))
    assert prices.filter(Symbol="UTF16").height == len(DAYS)
    assert "Note" in notes["stocks/EXTRA.csv"]
    assert "cut short" in notes["stocks/ROWS.csv"]
    quarantine = pl.read_parquet(run.path("02_intermediate", "quarantine.parquet"))
    assert quarantine.select("file", "line", "rule").rows() == [
        ("stocks/ROWS.csv", 2, "high_below_low"),
        ("stocks/ROWS.csv", 3, "unparsable_number"),
        ("stocks/ROWS.csv", 4, "weekend_date"),
        ("stocks/ROWS.csv", 6, "missing_field"),
    ]
    assert quarantine["Volume"].to_list() == ["100", "ten", "100", None]
    assert "no listing" in run.output


def test_zip_and_folder_give_equal_layers(damaged: Path, tmp_path: Path) -> None:
    """A zip is read as the folder that it packs, and nothing of it is unpacked."""
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(damaged.rglob("*.csv")):
            packed.write(file, file.relative_to(damaged))
    from_folder = ingest(damaged, tmp_path / "1")
    from_zip = ingest(archive, tmp_path / "2")
    for layer in ("prices", "quarantine", "files"):
        name = f"02_intermediate/{layer}.parquet"
        assert from_folder.path(name).read_bytes() == from_zip.path(name).read_bytes()
    assert not list((tmp_path / "2").rglob("*.csv"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "no such file or folder", id="missing"),
        pytest.param(b"not a zip", "not a readable zip archive", id="no zip"),
    ],
)
def test_unusable_source_is_an_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    """A source that is not there, or not an archive, fails with its name and the reason."""
    source = tmp_path / "source.zip"
    if content is not None:
        source.write_bytes(content)
    run = ingest(source, tmp_path)
    assert run.process.returncode != 0
    assert f"{source}: {message}" in run.output
    assert not run.path("02_intermediate", "prices.parquet").exists()


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    """A source without one readable row fails, names the first problem, and leaves nothing."""
    folder = tmp_path / "archive" / "stocks"
    folder.mkdir(parents=True)
    (folder / "AAA.csv").write_bytes(b"\x00\x01")
    run = ingest(tmp_path / "archive", tmp_path)
    assert run.process.returncode != 0
    assert "nothing in it can be used; first problem: stocks/AAA.csv is binary" in run.output
    assert not list(run.data_root.rglob("*.parquet"))


def test_bad_parameter_is_named(tmp_path: Path) -> None:
    """A parameter out of its bounds fails before anything runs, and is named."""
    run = kedro_run(tmp_path / "data", tmp_path / "store", params={"estimator.learning_rate": -1})
    assert run.process.returncode != 0
    assert "learning_rate" in run.output
    assert not run.data_root.exists()


def test_a_bucket_is_read_as_its_zip(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zip in a bucket makes the layers that it makes from the disk."""
    archive = tmp_path / "bars.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in damaged.rglob("*.csv"):
            file.write(path, path.relative_to(damaged))
    with s3_server("bars") as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").upload_file(str(archive), "bars", "kaggle.zip")
        remote = kedro_run(
            tmp_path / "remote",
            tmp_path / "store",
            "--pipelines",
            "data_processing",
            params={"source": "s3://bars/kaggle.zip"},
        )
    assert remote.process.returncode == 0, remote.output
    local = ingest(archive, tmp_path)
    for layer in ("prices", "quarantine", "files"):
        name = f"{layer}.parquet"
        assert_frame_equal(
            pl.read_parquet(remote.path("02_intermediate", name)),
            pl.read_parquet(local.path("02_intermediate", name)),
        )
    (copy,) = remote.path("01_raw").glob("kaggle-*/kaggle.zip")
    assert copy.read_bytes() == archive.read_bytes()


def run_on_server(folder: Path, url: str, symbols: Path) -> Run:
    """Ingest what a server has of the symbols of a listing."""
    return kedro_run(
        folder / "data",
        folder / "store",
        *("--env", "http", "--pipelines", "data_processing"),
        params={"url": url, "symbols": symbols},
    )


def test_a_server_is_asked_symbol_by_symbol(tmp_path: Path) -> None:
    """A server of CSV files, one of which it first fails to give, is a source of its own."""

    def answer(path: str, _headers: dict[str, str], before: int) -> Answer:
        if path == "/AAA.csv" and not before:
            return Answer(status=503, headers={"Retry-After": "0"})
        return Answer(bars(10 if path == "/AAA.csv" else 20).encode())

    listing = tmp_path / "listing.csv"
    listing.write_text("Symbol,Security Name,ETF\nAAA,Triple A,N\nBBB,B Fund,Y\n", "utf-8")
    with answering(answer) as server:
        run = run_on_server(tmp_path, f"{server.url}/{{symbol}}.csv", listing)
    assert run.process.returncode == 0, run.output
    prices = pl.read_parquet(run.path("02_intermediate", "prices.parquet"))
    assert prices.group_by("Symbol", "Security Name", "ETF").len().sort("Symbol").rows() == [
        ("AAA", "Triple A", False, 6),
        ("BBB", "B Fund", True, 6),
    ]
    assert "%|" not in run.output
    assert "reading bars" not in run.output


@pytest.mark.parametrize("status", [200, 500])
def test_a_key_in_an_address_is_shown_nowhere(tmp_path: Path, status: int) -> None:
    """A run writes the key of an address neither to its output nor to a file, however it ends."""
    with answering(lambda *_: Answer(bars(10).encode(), status)) as server:
        address = f"{server.url}/{{symbol}}.csv?apikey=TOPSECRET"
        run = run_on_server(tmp_path, address, listing_of(tmp_path, "AAA"))
    assert server.asked[0] == ("GET", "/AAA.csv?apikey=TOPSECRET")
    assert (run.process.returncode == 0) is (status == 200), run.output
    assert "TOPSECRET" not in run.output
    made = [path for path in run.data_root.rglob("*") if path.is_file()]
    assert not [path for path in made if b"TOPSECRET" in path.read_bytes()]


def listing_of(folder: Path, *symbols: str) -> Path:
    listing = folder / "listing.csv"
    listing.write_text("\n".join(["Symbol", *symbols, ""]), encoding="utf-8")
    return listing


def test_kaggle_out_of_reach_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without network the Kaggle archive ends in an error that names the alternatives."""
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    run = kedro_run(
        tmp_path / "data", tmp_path / "store", "--env", "kaggle", "--pipelines", "data_processing"
    )
    assert run.process.returncode == 1
    assert "Kaggle cannot be reached" in run.output
    assert "kedro run --params source=archive.zip" in run.output
