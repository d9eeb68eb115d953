"""``make fuzz``: mutated archives, listings, files of events and answers, with bounds.

A try survives if the input is read or refused with an error of this project, no row is lost, and
time and memory stay within bounds. What fails is written to ``tests/robustness/corpus``, which the
test suite replays.
"""

import argparse
import logging
import random
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Final

from stock_volume.bars.archive import open_archive
from stock_volume.bars.ingest import IngestionParameters, ingest
from stock_volume.errors import StockVolumeError
from stock_volume.events.ingest import ingest_event_files
from stock_volume.events.rules import EventParameters
from stock_volume.events.source import EventFile, EventFiles
from tests.robustness.answers import (
    CALENDAR,
    DATES,
    EDGAR,
    YAHOO,
    fetch_yahoo,
    mutate_answers,
    read_calendar,
    read_dates,
    read_edgar,
)

CORPUS: Final = Path(__file__).with_name("corpus")
MOST_SECONDS: Final = 10.0
MOST_MIB: Final = 1024

BARS: Final = b"Date,Open,High,Low,Close,Adj Close,Volume\n" + b"".join(
    b"2020-01-%02d,10,12,8,11,10.5,1%02d\n" % (day, day) for day in (2, 3, 6, 7, 8, 9, 10)
)
LISTING: Final = b"Symbol,Security Name,ETF\nA,First Common Stock,N\nB,Second ETF,Y\n"
EVENTS: Final = (
    b"Symbol,Date,Time,Known,Confirmed\nA,2020-02-03,post,2020-01-20,yes\nB,2020-02-04\n"
)
TOKENS: Final = (
    b"\n", b"\r\n", b"\r", b",", b";", b"\t", b"|", b'"', b"'", b"\0", b"\xff\xfe", b"\xef\xbb\xbf",
    b"nan", b"inf", b"-1", b"1e999", b"2020-02-30", b"03/01/2020", b"Date", b"Symbol", b"Ticker",
    b"\xe2\x80\xae", b"=1+1", b"../", b"9" * 400, b"," * 300, b"\n" * 3000, b"[" * 100_000, b"NaN",
)  # fmt: skip


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Insert tokens, repeat and cut pieces, and flip bytes."""
    mutated = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        start = chance.randint(0, len(mutated))
        end = min(len(mutated), start + chance.randint(0, 40))
        match chance.randrange(4):
            case 0:
                mutated[start:start] = chance.choice(TOKENS)
            case 1:
                mutated[start:start] = mutated[start:end] * chance.randint(1, 50)
            case 2:
                del mutated[start:end]
            case _ if mutated:
                mutated[start % len(mutated)] = chance.randrange(256)
    return bytes(mutated)


def archive_of(bars: bytes, listing: bytes) -> bytes:
    """Make a zip with files of two symbols, one of them in both folders."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("stocks/A.csv", bars)
        archive.writestr("etfs/A.csv", BARS)
        archive.writestr("etfs/B.csv", BARS)
        archive.writestr("symbols_valid_meta.csv", listing)
    return content.getvalue()


def read_archive(content: bytes) -> None:
    """Ingest an archive, and check that no row is lost."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bars.zip")
        path.write_bytes(content)
        for chunk in ingest(open_archive(path), IngestionParameters()):
            rows = int(chunk.files["rows_read"].sum())
            if rows != chunk.prices.height + chunk.quarantine.height:
                raise AssertionError(f"{rows} rows were read, some of them were lost")


def read_events(content: bytes) -> None:
    """Ingest a file of events, and check that no row is lost."""
    files = EventFiles([EventFile("events.csv", content)])
    ingested = ingest_event_files(files, EventParameters())
    rows = int(ingested.files["rows_read"].sum())
    if rows != ingested.events.height + ingested.quarantine.height:
        raise AssertionError(f"{rows} rows were read, some of them were lost")


def read_yahoo(content: bytes) -> None:
    """Ingest what Yahoo answers, unless it is a reason why there is nothing."""
    answer = fetch_yahoo(content)
    if isinstance(answer, bytes):
        read_archive(archive_of(answer, LISTING))


ATTACKS: Final[dict[str, tuple[Callable[[random.Random], bytes], Callable[[bytes], None]]]] = {
    "archive": (lambda chance: mutate(archive_of(BARS, LISTING), chance), read_archive),
    "bars": (lambda chance: archive_of(mutate(BARS, chance), LISTING), read_archive),
    "listing": (lambda chance: archive_of(BARS, mutate(LISTING, chance)), read_archive),
    "events": (lambda chance: mutate(EVENTS, chance), read_events),
    "edgar": (partial(mutate_answers, EDGAR, mutate), read_edgar),
    "calendar": (partial(mutate_answers, CALENDAR, mutate), read_calendar),
    "yahoo": (partial(mutate_answers, YAHOO, mutate), read_yahoo),
    "dates": (partial(mutate, DATES), read_dates),
}
"""How each kind of input is made, and read."""


def judge(read: Callable[[bytes], None], content: bytes) -> str:
    """Read an input; return what is wrong, or "" if it survived."""
    before, began = _peak_mib(), time.process_time()
    try:
        read(content)
    except StockVolumeError:
        pass
    except Exception as error:  # noqa: BLE001 (any other error is a finding)
        return f"{type(error).__name__}: {error}"
    seconds, mebibytes = time.process_time() - began, _peak_mib() - before
    if seconds > MOST_SECONDS:
        return f"took {seconds:.1f} s"
    return f"took {mebibytes:.0f} MiB" if mebibytes > MOST_MIB else ""


def keep(title: str, content: bytes) -> None:
    """Add an input that failed to the corpus."""
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / title).write_bytes(content)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Attack and print a table; return 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--attacks", nargs="+", default=list(ATTACKS), choices=list(ATTACKS))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(f"{'attack':12} {'tries':>6} {'survivors':>9}")
    failures = []
    for name in options.attacks:
        make, read = ATTACKS[name]
        chance = random.Random(f"{name} {options.seed}")  # noqa: S311 (inputs, no secrets)
        failed = 0
        for number in range(options.tries):
            content = make(chance)
            if problem := judge(read, content):
                failed += 1
                title = f"{name}-{options.seed}-{number}"
                keep(title, content)
                failures.append(f"{title}: {problem}")
        print(f"{name:12} {options.tries:6} {options.tries - failed:9}", flush=True)
    print("\n".join(failures))
    return min(len(failures), 1)


if __name__ == "__main__":
    sys.exit(main())
