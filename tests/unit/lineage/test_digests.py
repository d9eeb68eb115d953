"""Digests, fingerprints, revisions and versions."""

import hashlib
import os
import platform
import subprocess
from errno import EACCES
from importlib.metadata import version
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_volume.lineage import digests
from stock_volume.lineage.digests import (
    FileDigest,
    digest_file,
    digest_path,
    fingerprint,
    git_revision,
    package_versions,
    parameters_digest,
)

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of no bytes."""

Digests = st.dictionaries(
    st.text("abc/.", min_size=1, max_size=5),
    st.none() | st.binary(max_size=3).map(lambda content: hashlib.sha256(content).hexdigest()),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize(
    "content", [b"", b"abc", bytes(2**20), bytes(2**20 + 1)], ids=["0", "3", "1 MiB", "more"]
)
def test_file_has_path_size_and_sha256(content: bytes, tmp_path: Path) -> None:
    """A digest has path, size and SHA-256, also of a file longer than one read."""
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    expected = FileDigest(path=path.as_posix(), size=len(content), sha256=sha256)
    assert digest_file(path) == expected
    assert digest_path(path) == [expected]


def test_sha256_of_an_empty_file_is_the_known_one(tmp_path: Path) -> None:
    """The digest is the one that other tools give."""
    (tmp_path / "empty").touch()
    assert digest_file(tmp_path / "empty").sha256 == EMPTY


def test_folder_has_a_digest_a_file(tmp_path: Path) -> None:
    """Of a folder every file at any depth is digested, by path; folders are not."""
    for name in ("b.csv", "a/z.csv", "a/deep/er.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "bare").mkdir()
    digests = digest_path(tmp_path)
    assert [Path(digest.path).relative_to(tmp_path).as_posix() for digest in digests] == [
        "a/deep/er.csv",
        "a/z.csv",
        "b.csv",
    ]
    assert digests[2].sha256 == hashlib.sha256(b"b.csv").hexdigest()


def test_digest_of_a_name_that_is_not_utf8_is_json(tmp_path: Path) -> None:
    """A manifest with such a file can be read again."""
    (tmp_path / os.fsdecode(b"caf\xe9.csv")).touch()
    (digest,) = digest_path(tmp_path)
    assert digest.path.endswith(r"/caf\xe9.csv")
    assert FileDigest.model_validate_json(digest.model_dump_json()) == digest


def test_files_behind_links_are_digested(tmp_path: Path) -> None:
    """A change behind a link to a folder or file is a change of the folder; loops end."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.csv").write_text("a")
    (tmp_path / "b.csv").write_text("b")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "stocks").symlink_to(outside, target_is_directory=True)
    (folder / "b.csv").symlink_to(tmp_path / "b.csv")
    (folder / "gone.csv").symlink_to(tmp_path / "gone.csv")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    before = digest_path(folder)
    assert [one.path for one in before] == [
        (folder / "b.csv").as_posix(),
        (folder / "stocks/a.csv").as_posix(),
    ]
    (outside / "a.csv").write_text("changed")
    first, second = digest_path(folder)
    assert first == before[0]
    assert second.sha256 == hashlib.sha256(b"changed").hexdigest()


def test_unreadable_file_of_a_folder_is_left_out_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A run goes on without it, as ingestion does; the warning names file and reason."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(name)
    kept = digest_file(tmp_path / "b.csv")

    def digest(file: Path) -> FileDigest:
        if file.name == "a.csv":
            raise PermissionError(EACCES, "Permission denied")
        return digest_file(file)

    monkeypatch.setattr(digests, "digest_file", digest)
    assert digest_path(tmp_path) == [kept]
    assert f"{tmp_path}/a.csv has no digest: Permission denied" in caplog.text


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    """A file that is not there has no digest."""
    with pytest.raises(FileNotFoundError):
        digest_path(tmp_path / "missing")


def test_fingerprint_is_that_of_a_checksum_file() -> None:
    """A fingerprint is SHA-256 over sorted lines as sha256sum writes them."""
    lines = f"{'0' * 64}  b.csv\n{EMPTY}  a.csv\n"
    expected = hashlib.sha256(lines.encode()).hexdigest()
    assert fingerprint([("a.csv", EMPTY), ("b.csv", "0" * 64)]) == expected


def test_fingerprint_of_nothing_is_that_of_no_lines() -> None:
    """A data set without files has a fingerprint too."""
    assert fingerprint([]) == EMPTY


@given(digests=Digests, random=st.randoms(use_true_random=False))
def test_fingerprint_does_not_depend_on_order(
    digests: dict[str, str | None], random: Random
) -> None:
    """Files may come in any order."""
    shuffled = list(digests.items())
    random.shuffle(shuffled)
    assert fingerprint(shuffled) == fingerprint(digests.items())


@given(first=Digests, second=Digests)
def test_fingerprint_distinguishes_data_sets(
    first: dict[str, str | None], second: dict[str, str | None]
) -> None:
    """Fingerprints are equal where names and digests all are, and nowhere else."""
    same = fingerprint(first.items()) == fingerprint(second.items())
    assert same == (first == second)


def test_parameters_digest_does_not_depend_on_order() -> None:
    """Equal parameters have equal digests, whatever the order of their fields."""
    assert parameters_digest({"a": 1, "b": 2}) == parameters_digest({"b": 2, "a": 1})
    assert parameters_digest({"a": 1}) != parameters_digest({"a": 2})


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a git repository with one commit."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "checkout"
    folder.mkdir()
    _git(folder, "init", "--quiet")
    (folder / "tracked.py").write_text("1\n")
    _commit(folder)
    return folder


def _git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    command = ["git", *identity, *words]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def _commit(folder: Path) -> None:
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", "A commit")


def test_revision_of_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    """The revision is the full commit, from any folder of the checkout."""
    (checkout / "sub").mkdir()
    (checkout / "sub" / "module.py").write_text("1\n")
    _commit(checkout)
    commit = _git(checkout, "rev-parse", "HEAD")
    assert len(commit) == 40
    assert git_revision(checkout) == commit
    assert git_revision(checkout / "sub") == commit


def test_revision_is_the_commit_where_tags_are(checkout: Path) -> None:
    """A tag on the commit does not take the commit's place."""
    _git(checkout, "tag", "--annotate", "v1.0", "--message", "A release")
    assert git_revision(checkout) == _git(checkout, "rev-parse", "HEAD")


def test_revision_of_changed_files_is_dirty(checkout: Path) -> None:
    """A changed tracked file makes the revision dirty until it is committed."""
    commit = _git(checkout, "rev-parse", "HEAD")
    (checkout / "tracked.py").write_text("2\n")
    assert git_revision(checkout) == f"{commit}-dirty"
    _commit(checkout)
    assert git_revision(checkout) == _git(checkout, "rev-parse", "HEAD") != commit


def test_untracked_files_leave_the_revision_clean(checkout: Path) -> None:
    """What git does not track does not count."""
    (checkout / "untracked.py").write_text("3\n")
    assert git_revision(checkout) == _git(checkout, "rev-parse", "HEAD")


def test_revision_outside_a_checkout_is_unknown(checkout: Path) -> None:
    """Outside a checkout the revision is unknown, and no error."""
    outside = checkout.parent / "outside"
    outside.mkdir()
    assert git_revision(outside) == "unknown"


def test_revision_of_an_untracked_folder_is_unknown(checkout: Path) -> None:
    """An environment inside somebody's checkout does not have the checkout's revision."""
    installed = checkout / ".venv" / "stock_volume"
    installed.mkdir(parents=True)
    (installed / "module.py").write_text("1\n")
    assert git_revision(installed) == "unknown"


def test_revision_without_a_commit_is_unknown(checkout: Path) -> None:
    """A repository without a commit has no revision."""
    bare = checkout.parent / "new"
    bare.mkdir()
    _git(bare, "init", "--quiet")
    assert git_revision(bare) == "unknown"


def test_revision_without_git_is_unknown(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git is not installed the revision is unknown."""
    monkeypatch.setenv("PATH", str(checkout))
    assert git_revision(checkout) == "unknown"


@pytest.mark.parametrize(
    "name", ["kedro", "polars", "pyarrow", "numpy", "scikit-learn", "lightgbm", "bentoml"]
)
def test_versions_are_those_installed(name: str) -> None:
    """Each package that makes results is there with its installed version."""
    assert package_versions()[name] == version(name)


def test_versions_have_python_and_the_package() -> None:
    """Python's version and the project's own are among them."""
    assert package_versions()["python"] == platform.python_version()
    assert "stock_volume" in package_versions()


def test_packages_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not there is left out, and is no error."""
    monkeypatch.setattr(digests, "_PACKAGES", ("numpy", "no-such-package-anywhere"))
    assert set(package_versions()) == {"python", "numpy"}
