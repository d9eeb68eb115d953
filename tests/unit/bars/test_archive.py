"""Archives of bars: what they list, what they read, and what they refuse."""

import os
import zipfile
from collections.abc import Callable
from errno import EACCES
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from stock_volume.bars.archive import ArchiveLimits, BarFile, open_archive
from stock_volume.errors import SourceError, UnreadableFileError
from stock_volume.sources.archive import ArchiveSource
from tests.unit.helpers import LISTING_HEADER, bars, csv_of, write_folder, write_zip

Writer: TypeAlias = Callable[[Path, dict[str, str | bytes]], Path]

BARS = csv_of(*bars(3))
LOCAL_FLAGS, DIRECTORY_FLAGS = 6, 8
"""Offset of the flags of a member after the signature of its two headers."""


def as_zip(path: Path, files: dict[str, str | bytes]) -> Path:
    return write_zip(path.with_suffix(".zip"), files)


both_kinds = pytest.mark.parametrize(
    "write", [pytest.param(write_folder, id="folder"), pytest.param(as_zip, id="zip")]
)


@both_kinds
def test_files_come_by_symbol_with_stocks_first(write: Writer, tmp_path: Path) -> None:
    """Files are listed by symbol, not by folder, the stock before the ETF of its name."""
    names = ["stocks/B.csv", "etfs/A.csv", "stocks/AA.csv", "stocks/A.csv", "etfs/C.csv"]
    archive = open_archive(write(tmp_path / "raw", dict.fromkeys(names, BARS)))
    size = len(BARS)
    assert archive.files == (
        BarFile("stocks/A.csv", "A", is_etf=False, size=size),
        BarFile("etfs/A.csv", "A", is_etf=True, size=size),
        BarFile("stocks/AA.csv", "AA", is_etf=False, size=size),
        BarFile("stocks/B.csv", "B", is_etf=False, size=size),
        BarFile("etfs/C.csv", "C", is_etf=True, size=size),
    )


@both_kinds
@pytest.mark.parametrize(
    ("name", "symbol", "is_etf"),
    [
        pytest.param("stocks/A.csv", "A", False, id="stock"),
        pytest.param("etfs/A.csv", "A", True, id="etf"),
        pytest.param("archive/v2/etfs/A.csv", "A", True, id="below-other-folders"),
        pytest.param("stocks/etfs/A.csv", "A", True, id="nearest-folder-counts"),
        pytest.param("Stocks/A.CSV", "A", False, id="upper-case"),
        pytest.param("stocks/BRK.B.csv", "BRK.B", False, id="dotted-symbol"),
        pytest.param("stocks/NA.csv", "NA", False, id="symbol-like-a-null"),
        pytest.param("stocks/PRN#.csv", "PRN#", False, id="odd-character"),
    ],
)
def test_kind_and_symbol_come_from_the_path(
    write: Writer, tmp_path: Path, name: str, symbol: str, *, is_etf: bool
) -> None:
    """The nearest folder is the kind, and the stem is the symbol."""
    archive = open_archive(write(tmp_path / "raw", {name: BARS}))
    assert archive.files == (BarFile(name, symbol, is_etf, len(BARS)),)


@both_kinds
def test_content_is_read_byte_for_byte(write: Writer, tmp_path: Path) -> None:
    """Every byte of a file comes back as it is, in any order of reading."""
    files: dict[str, str | bytes] = {
        "stocks/A.csv": bytes(range(256)),
        "stocks/B.csv": b"",
        "etfs/C.csv": b"a\r\nb",
    }
    archive = open_archive(write(tmp_path / "raw", files))
    names = [file.name for file in archive.files]
    assert {name: archive.read(name) for name in reversed(names)} == files


@both_kinds
@pytest.mark.parametrize(
    ("names", "listing"),
    [
        pytest.param([], None, id="none"),
        pytest.param(["symbols_valid_meta.csv"], "symbols_valid_meta.csv", id="at-the-top"),
        pytest.param(["v1/symbols_valid_meta.csv"], "v1/symbols_valid_meta.csv", id="below"),
        pytest.param(
            ["a/symbols_valid_meta.csv", "symbols_valid_meta.csv"],
            "symbols_valid_meta.csv",
            id="the-topmost-of-two",
        ),
        pytest.param(["my_symbols_valid_meta.csv"], None, id="another-name"),
    ],
)
def test_listing_is_found_by_name(
    write: Writer, tmp_path: Path, names: list[str], listing: str | None
) -> None:
    """The listing is found wherever it lies, and its absence is reported."""
    content = dict.fromkeys(names, f"{LISTING_HEADER}\n")
    archive = open_archive(write(tmp_path / "raw", {"stocks/A.csv": BARS, **content}))
    assert archive.listing == listing
    assert archive.ignored == tuple(sorted(set(names) - {listing}))


@both_kinds
def test_other_content_is_ignored(write: Writer, tmp_path: Path) -> None:
    """Whatever is neither a file of bars nor the listing is named and left alone."""
    others = ["A.csv", "README.md", "bonds/A.csv", "stocks/.A.csv", "stocks/A.csv.bak"]
    others += ["stocks/deep/A.csv", "stocks/notes.txt"]
    archive = open_archive(
        write(tmp_path / "raw", dict.fromkeys([*others, "stocks/A.csv"], "anything"))
    )
    assert [file.name for file in archive.files] == ["stocks/A.csv"]
    assert archive.ignored == tuple(sorted(others))


@both_kinds
def test_what_is_ignored_is_reported(
    write: Writer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is not read is no secret: a warning counts them and names the first."""
    names = ["stocks/A.csv", "stocks/.B.csv", "stocks/notes.txt"]
    path = write(tmp_path / "raw", dict.fromkeys(names, BARS))
    ArchiveSource(str(path), tmp_path).open()
    assert f"{path}: 2 files are not read" in caplog.text
    assert "first stocks/.B.csv" in caplog.text


def test_what_macos_adds_to_a_zip_is_no_content(tmp_path: Path) -> None:
    """Resource forks and folders in a zip are neither files of bars nor ignored content."""
    files = {"stocks/": "", "stocks/A.csv": BARS, "__MACOSX/stocks/A.csv": "fork"}
    archive = open_archive(write_zip(tmp_path / "a.zip", files))
    assert [file.name for file in archive.files] == ["stocks/A.csv"]
    assert archive.ignored == ()


@pytest.mark.parametrize("name", ["../../evil/stocks/A.csv", "/evil/stocks/A.csv"])
def test_unsafe_names_write_nothing(tmp_path: Path, name: str) -> None:
    """A member whose name climbs out of the folder is read in memory, never unpacked."""
    folder = tmp_path / "one" / "two"
    folder.mkdir(parents=True)
    path = write_zip(folder / "a.zip", {name: BARS, "stocks/B.csv": BARS})
    before = sorted(tmp_path.rglob("*"))
    archive = open_archive(path)
    assert [file.symbol for file in archive.files] == ["A", "B"]
    assert archive.read(name) == BARS.encode()
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/evil").exists()


@both_kinds
def test_a_file_is_read_up_to_its_bound(write: Writer, tmp_path: Path) -> None:
    """A file of exactly max_file_mib is read, one byte more is refused as unreadable."""
    mebibyte = 2**20
    files: dict[str, str | bytes] = {
        "stocks/A.csv": bytes(mebibyte),
        "stocks/B.csv": bytes(mebibyte + 1),
    }
    archive = open_archive(write(tmp_path / "raw", files), ArchiveLimits(max_file_mib=1))
    assert len(archive.read("stocks/A.csv")) == mebibyte
    with pytest.raises(UnreadableFileError, match="larger than max_file_mib = 1 allows"):
        archive.read("stocks/B.csv")


@both_kinds
def test_the_files_of_a_symbol_are_read_up_to_their_bound(write: Writer, tmp_path: Path) -> None:
    """Files of one symbol, in letters of any case, are in memory together: all or none is read."""
    half = bytes(2**19)
    files: dict[str, str | bytes] = {
        "stocks/A.csv": half,
        "etfs/a.csv": half + b"x",
        "stocks/B.csv": half,
        "etfs/B.csv": half,
    }
    archive = open_archive(write(tmp_path / "raw", files), ArchiveLimits(max_symbol_mib=1))
    assert archive.read("stocks/B.csv") == archive.read("etfs/B.csv") == half
    for name in ("stocks/A.csv", "etfs/a.csv"):
        with pytest.raises(UnreadableFileError, match=r"1,048,577 bytes together.*max_symbol_mib"):
            archive.read(name)


@both_kinds
def test_the_listing_has_its_own_bound(write: Writer, tmp_path: Path) -> None:
    """A listing is small; a file of bars of the same size is read."""
    content = bytes(2**20 + 1)
    files: dict[str, str | bytes] = {"stocks/A.csv": content, "symbols_valid_meta.csv": content}
    archive = open_archive(write(tmp_path / "raw", files), ArchiveLimits(max_listing_mib=1))
    assert archive.read("stocks/A.csv") == content
    with pytest.raises(UnreadableFileError, match="larger than max_listing_mib = 1 allows"):
        archive.read("symbols_valid_meta.csv")


@both_kinds
def test_the_number_of_files_is_bounded(write: Writer, tmp_path: Path) -> None:
    """An archive of too many files is refused before any is read; ignored ones count too."""
    files: dict[str, str | bytes] = {"stocks/A.csv": BARS, "readme.txt": "", "notes.txt": ""}
    path = write(tmp_path / "raw", files)
    assert len(open_archive(path, ArchiveLimits(max_files=3)).files) == 1
    with pytest.raises(SourceError, match="has 3 files, more than max_files = 2 allows"):
        open_archive(path, ArchiveLimits(max_files=2))


def test_a_compressed_bomb_is_refused(tmp_path: Path) -> None:
    """A small zip that expands to far more than max_file_mib yields no content."""
    path = write_zip(tmp_path / "a.zip", {"stocks/A.csv": bytes(16 * 2**20)})
    assert path.stat().st_size < 2**15
    with pytest.raises(UnreadableFileError, match="max_file_mib"):
        open_archive(path, ArchiveLimits(max_file_mib=1)).read("stocks/A.csv")


def test_a_declared_size_that_lies_is_refused(tmp_path: Path) -> None:
    """A member that holds more than it declares is unreadable, not silently cut short."""
    path = write_zip(tmp_path / "a.zip", {"stocks/A.csv": BARS}, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\x01\x02")
    content[start + 24 : start + 28] = (50).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        open_archive(path).read("stocks/A.csv")


@both_kinds
def test_the_sum_of_sizes_is_bounded(write: Writer, tmp_path: Path) -> None:
    """An archive that would expand to more than max_total_mib is refused unread."""
    half = 2**19
    files: dict[str, str | bytes] = dict.fromkeys(["stocks/A.csv", "etfs/B.csv"], bytes(half))
    limits = ArchiveLimits(max_total_mib=1)
    assert len(open_archive(write(tmp_path / "fits", files), limits).files) == 2
    path = write(tmp_path / "over", {**files, "stocks/C.csv": b"x"})
    with pytest.raises(SourceError, match=r"1,048,577 bytes, more than max_total_mib = 1 allows"):
        open_archive(path, limits)


def test_a_damaged_member_leaves_the_others_readable(tmp_path: Path) -> None:
    """A member whose checksum does not fit is unreadable, its neighbour is read."""
    files = {"stocks/A.csv": BARS, "stocks/B.csv": BARS.replace("11", "10")}
    path = write_zip(tmp_path / "a.zip", files, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(BARS.encode(), BARS.replace("8", "9").encode()))
    archive = open_archive(path)
    with pytest.raises(UnreadableFileError, match="Bad CRC-32") as caught:
        archive.read("stocks/A.csv")
    assert caught.value.reason == str(caught.value)
    assert archive.read("stocks/B.csv") == files["stocks/B.csv"].encode()


def test_a_damaged_stream_is_unreadable(tmp_path: Path) -> None:
    """A member that does not even inflate is unreadable."""
    path = write_zip(tmp_path / "a.zip", {"stocks/A.csv": BARS})
    content = bytearray(path.read_bytes())
    start = content.index(b"stocks/A.csv") + len("stocks/A.csv")
    content[start : start + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        open_archive(path).read("stocks/A.csv")


def test_an_encrypted_member_is_unreadable(tmp_path: Path) -> None:
    """A member that wants a password is unreadable, its neighbour is read."""
    path = write_zip(tmp_path / "a.zip", {"stocks/A.csv": BARS, "stocks/B.csv": BARS})
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", LOCAL_FLAGS), (b"PK\x01\x02", DIRECTORY_FLAGS)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)
    archive = open_archive(path)
    with pytest.raises(UnreadableFileError, match="encrypted"):
        archive.read("stocks/A.csv")
    assert archive.read("stocks/B.csv") == BARS.encode()


def test_an_unknown_compression_is_unreadable(tmp_path: Path) -> None:
    """A member packed by an unknown method is unreadable."""
    path = write_zip(tmp_path / "a.zip", {"stocks/A.csv": BARS})
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(mark) + offset] = 99
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        open_archive(path).read("stocks/A.csv")


def test_a_file_that_went_away_is_unreadable(tmp_path: Path) -> None:
    """A file that vanished after the folder was listed is unreadable, no crash."""
    folder = write_folder(tmp_path / "raw", {"stocks/A.csv": BARS})
    archive = open_archive(folder)
    (folder / "stocks/A.csv").unlink()
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        archive.read("stocks/A.csv")


@pytest.mark.parametrize("missing", [1, 30, 200])
def test_a_truncated_zip_is_refused(tmp_path: Path, missing: int) -> None:
    """A zip whose download stopped early is refused by name, however little is missing."""
    path = write_zip(tmp_path / "cut.zip", {"stocks/A.csv": BARS, "stocks/B.csv": BARS})
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(SourceError, match=r"cut\.zip: not a readable zip archive"):
        open_archive(path)


@pytest.mark.parametrize("content", [b"", BARS.encode(), b"\x1f\x8b\x08\x00" * 20])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file of another kind is refused by name."""
    path = tmp_path / "bars.zip"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"bars\.zip: not a readable zip archive"):
        open_archive(path)


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    """A path with nothing at it is refused by name."""
    with pytest.raises(SourceError, match=r"nowhere: no such file or folder"):
        open_archive(tmp_path / "nowhere")


@both_kinds
def test_an_archive_without_bars_is_refused(write: Writer, tmp_path: Path) -> None:
    """An archive in another layout is refused with the layout that is expected."""
    files = dict.fromkeys(["A.csv", "symbols_valid_meta.csv", "stocks/readme.txt"], "x")
    with pytest.raises(SourceError, match=r"no file of bars in it; expected .* stocks/ and etfs/"):
        open_archive(write(tmp_path / "raw", dict(files)))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """A folder with nothing in it is no archive."""
    with pytest.raises(SourceError, match="no file of bars"):
        open_archive(tmp_path)


def test_default_limits_hold_the_whole_kaggle_archive() -> None:
    """The default limits let through the reference archive, about 2,700 MiB in all."""
    limits = ArchiveLimits()
    assert limits.max_total_mib > 2_700
    assert limits.max_file_mib > 1


def test_a_damaged_lzma_member_is_unreadable(tmp_path: Path) -> None:
    """Damage that only the decompressor of another method notices is reported too."""
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("stocks/A.csv", csv_of(*bars(50)))
    content = bytearray(path.read_bytes())
    content[70:90] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        open_archive(path).read("stocks/A.csv")


def test_a_zip_of_the_future_is_refused(tmp_path: Path) -> None:
    """A zip that asks for a later version of the format is no readable archive."""
    path = write_zip(tmp_path / "archive.zip", {"stocks/A.csv": csv_of(*bars(1))})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 99
    path.write_bytes(content)
    with pytest.raises(SourceError, match="not a readable zip archive"):
        open_archive(path)


def test_a_member_that_is_there_twice_is_unreadable(tmp_path: Path) -> None:
    """Of two members of one name neither is silently taken for the other."""
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("stocks/A.csv", csv_of(*bars(1)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("stocks/A.csv", csv_of(*bars(2)))
        packed.writestr("stocks/B.csv", csv_of(*bars(1)))
    archive = open_archive(path)
    assert [file.name for file in archive.files] == ["stocks/A.csv", "stocks/B.csv"]
    with pytest.raises(UnreadableFileError, match="is 2 times in the zip"):
        archive.read("stocks/A.csv")
    assert archive.read("stocks/B.csv") == csv_of(*bars(1)).encode()


def test_a_zip_of_windows_has_folders(tmp_path: Path) -> None:
    """PowerShell's Compress-Archive separates folders by backslashes."""
    files: dict[str, str | bytes] = {"stocks\\": "", "stocks\\A.csv": BARS, "etfs\\B.csv": BARS}
    archive = open_archive(write_zip(tmp_path / "a.zip", files))
    assert [(file.name, file.symbol, file.is_etf) for file in archive.files] == [
        ("stocks/A.csv", "A", False),
        ("etfs/B.csv", "B", True),
    ]
    assert archive.read("stocks/A.csv") == BARS.encode()
    assert archive.ignored == ()


def test_folders_behind_links_are_read_once(tmp_path: Path) -> None:
    """A link to a folder is followed, a loop of links ends, and no file is read twice."""
    outside = write_folder(tmp_path / "outside", {"A.csv": BARS})
    folder = write_folder(tmp_path / "raw", {"etfs/B.csv": BARS})
    (folder / "stocks").symlink_to(outside, target_is_directory=True)
    (folder / "etfs" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "again").symlink_to(folder / "etfs", target_is_directory=True)
    archive = open_archive(folder)
    assert [file.name for file in archive.files] == ["stocks/A.csv", "etfs/B.csv"]
    assert archive.read("stocks/A.csv") == BARS.encode()
    assert archive.ignored == ()


def test_a_link_that_leads_nowhere_is_an_unreadable_file(tmp_path: Path) -> None:
    """A symbol whose file is a broken link is not lost in silence."""
    folder = write_folder(tmp_path / "raw", {"stocks/A.csv": BARS})
    (folder / "stocks" / "B.csv").symlink_to(tmp_path / "gone.csv")
    archive = open_archive(folder)
    assert [file.symbol for file in archive.files] == ["A", "B"]
    with pytest.raises(UnreadableFileError, match="No such file"):
        archive.read("stocks/B.csv")


@pytest.mark.parametrize(
    "name", ["[a-z]*?", "100% of it", "a {b} c", "\u00e9t\u00e9 \u80a1", "#1; 'x'"]
)
@both_kinds
def test_odd_names_of_folders_and_files(write: Writer, tmp_path: Path, name: str) -> None:
    """Brackets, per cent signs, blanks and letters of other scripts are names like any other."""
    (tmp_path / name).mkdir()
    archive = open_archive(write(tmp_path / name / name, {f"{name}/stocks/{name}.csv": BARS}))
    [file] = archive.files
    assert file.symbol == name
    assert archive.read(file.name) == BARS.encode()


NOT_UTF8 = b"stocks/caf\xe9.csv"


def test_a_name_that_is_not_utf8_costs_its_own_file(tmp_path: Path) -> None:
    """In a folder such a file is listed and unreadable, and the others are read."""
    folder = write_folder(tmp_path / "raw", {"stocks/A.csv": BARS})
    with open(os.fsencode(folder) + b"/" + NOT_UTF8, "wb") as file:  # noqa: PTH123
        file.write(BARS.encode())
    archive = open_archive(folder)
    assert [file.symbol for file in archive.files] == ["A", r"caf\xe9"]
    with pytest.raises(UnreadableFileError, match="name that is not UTF-8 text: rename it"):
        archive.read(r"stocks/caf\xe9.csv")
    assert archive.read("stocks/A.csv") == BARS.encode()


def test_a_member_falsely_flagged_as_utf8_costs_its_own_file(tmp_path: Path) -> None:
    """In a zip such a member is listed and unreadable, and the others are read."""
    path = write_zip(tmp_path / "a.zip", {"stocks/A.csv": BARS, "stocks/caf\u00e9.csv": BARS})
    path.write_bytes(path.read_bytes().replace(b"caf\xc3\xa9", b"cafe\xe9"))
    archive = open_archive(path)
    assert archive.read("stocks/A.csv") == BARS.encode()
    broken = archive.files[1]
    assert broken.symbol.startswith("cafe")
    with pytest.raises(UnreadableFileError, match="name that is not UTF-8 text: rename it"):
        archive.read(broken.name)


def test_members_that_macos_names_are_read_in_utf8(tmp_path: Path) -> None:
    """A name in UTF-8 without the flag that says so keeps its letters."""
    path = write_zip(tmp_path / "a.zip", {"stocks/caf\u00e9.csv": BARS})
    content = bytearray(path.read_bytes())
    for header, flags in ((b"PK\x03\x04", LOCAL_FLAGS), (b"PK\x01\x02", DIRECTORY_FLAGS)):
        content[content.index(header) + flags + 1] &= ~0x08
    path.write_bytes(content)
    archive = open_archive(path)
    assert [file.symbol for file in archive.files] == ["caf\u00e9"]
    assert archive.read(archive.files[0].name) == BARS.encode()


@pytest.mark.parametrize("name", ["stocks", "etfs"])
def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Its symbols are not silently lost, even if other folders have bars."""
    folder = write_folder(tmp_path / "folder", {"stocks/A.csv": BARS, "etfs/B.csv": BARS})
    scan = os.scandir

    def deny(path: str) -> Any:
        if os.fspath(path) == str(folder / name):
            raise PermissionError(EACCES, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(SourceError, match=f"folder/{name}: Permission denied: .* be missing"):
        open_archive(folder)
