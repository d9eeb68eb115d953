"""Fixtures shared by the end-to-end tests."""

import pickle

import pytest
from filelock import FileLock

from tests.e2e.runs import Run, kedro_run


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Run:
    """One run on the embedded sample, from raw bars to a Bento, for all workers.

    Tests must not change its layers; models that they add to its store have other names.
    """
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    folder = shared / "sample"
    made = folder / "run.pickle"
    with FileLock(shared / "sample.lock"):
        if made.exists():
            run: Run = pickle.loads(made.read_bytes())  # noqa: S301 (of the other worker)
            return run
        run = kedro_run(folder / "data", folder / "store")
        assert run.process.returncode == 0, run.output
        made.write_bytes(pickle.dumps(run))
    return run
