"""``kedro`` in processes that begin with its libraries imported.

A command spends most of its time on imports. Each command here is a process of its own, forked
from one that has imported them.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PRELOADED: Final = [
    "bentoml",
    "kedro.framework.cli",
    "kedro_datasets.plotly.json_dataset",
    "lightgbm",
    "sklearn.model_selection",
    "stock_volume.cli",
    "stock_volume.settings",
    *(f"stock_volume.pipelines.{name}" for name in ("data_processing", "modelling", "update")),
]

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(PRELOADED)


def run_kedro(
    *arguments: str | Path, folder: Path, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command of Kedro, and wait for its end.

    Args:
        arguments: The command without ``kedro``.
        folder: The current folder of the process.
        variables: Its environment.

    Returns:
        The exit code, and what was written to both streams.
    """
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as written:
        streams = [Path(written) / name for name in ("stdout", "stderr")]
        process = _forking.Process(target=_become, args=(words, folder, dict(variables), streams))
        process.start()
        process.join()
        stdout, stderr = (stream.read_text(encoding="utf-8") for stream in streams)
    code = process.exitcode
    assert code is not None
    return subprocess.CompletedProcess(["kedro", *words], code, stdout, stderr)


def _become(words: list[str], folder: Path, variables: dict[str, str], streams: list[Path]) -> None:
    """Turn this process into the command."""
    for number, stream in enumerate(streams, start=1):
        with stream.open("wb") as file:
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.argv = ["kedro", *words]
    from kedro.framework.cli import main

    main()
