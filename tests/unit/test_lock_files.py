"""The lock files."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def pins(name: str) -> dict[str, str]:
    """Read the pinned versions of a lock file, by package."""
    text = (PROJECT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)(?:\[.*?\])?==(\S+)", text, re.MULTILINE))


def test_the_notebooks_lock_repeats_no_pin() -> None:
    """It is installed on top of the main lock, and has only what the notebooks add."""
    main, added = pins("requirements.lock"), pins("requirements-notebook.lock")
    assert "jupyterlab" in added
    assert not added.keys() & main.keys()
