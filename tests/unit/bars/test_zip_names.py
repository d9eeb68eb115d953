"""Names of members of zip files."""

import zipfile
from pathlib import Path

import pytest

from stock_volume.bars.zip_names import member_name, open_zip

UTF8_FLAG = 0x800


def packed(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path


def names_in(path: Path) -> list[str]:
    with open_zip(path) as archive:
        return [member_name(member) for member in archive.infolist()]


def test_names_are_paths(tmp_path: Path) -> None:
    """Backslashes separate folders, as PowerShell writes them."""
    path = packed(tmp_path / "a.zip", "stocks/A.csv", "stocks\\B.csv", "etfs/Ä.csv")
    assert names_in(path) == ["stocks/A.csv", "stocks/B.csv", "etfs/Ä.csv"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("Ä.csv".encode(), "Ä.csv"), ("Ä.csv".encode("cp437"), "Ä.csv")],
    ids=["macOS", "DOS"],
)
def test_names_without_the_flag(tmp_path: Path, raw: bytes, expected: str) -> None:
    """A name that is not flagged as UTF-8 is UTF-8 if it can be, and otherwise DOS's."""
    placeholder = "x" * len(raw)
    path = packed(tmp_path / "a.zip", placeholder)
    path.write_bytes(path.read_bytes().replace(placeholder.encode(), raw))
    assert names_in(path) == [expected]


def test_a_name_flagged_falsely_costs_no_other(tmp_path: Path) -> None:
    """The standard library refuses the archive; here the other members can be read."""
    path = packed(tmp_path / "a.zip", "ok.csv", "Äx.csv")
    content = path.read_bytes().replace("Äx.csv".encode(), b"\xff\xfex.csv")
    path.write_bytes(content)
    with pytest.raises(UnicodeDecodeError):
        zipfile.ZipFile(path)
    with open_zip(path) as archive:
        good, bad = archive.infolist()
        assert (good.filename, archive.read(good)) == ("ok.csv", b"ok.csv")
        assert good.flag_bits & UTF8_FLAG == 0  # plain ASCII has no flag to begin with
        assert bad.flag_bits & UTF8_FLAG == 0
        with pytest.raises((UnicodeDecodeError, zipfile.BadZipFile)):
            archive.read(bad)


def test_no_zip_file_is_an_error(tmp_path: Path) -> None:
    """The caller names the file."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(zipfile.BadZipFile):
        open_zip(path)
