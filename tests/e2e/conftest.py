"""Fixtures shared by the end-to-end tests."""

import pytest

from tests.e2e.runs import Run, kedro_run


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run on the embedded sample, from raw bars to a Bento."""
    folder = tmp_path_factory.mktemp("sample")
    run = kedro_run(folder / "data", folder / "store")
    assert run.process.returncode == 0, run.output
    return run
