"""What the tests of commands share."""

from pathlib import Path

import pytest
from kedro.framework.project import configure_project

from stock_volume.cli.reporting import VERBOSE


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, so that logs go there."""
    configure_project("stock_volume")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VERBOSE, raising=False)
    return tmp_path
