"""The command that prints an artefact's chain, on the run of the sample."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stock_volume.lineage.digests import digest_file
from tests.e2e.commands import run_kedro
from tests.e2e.runs import BIN, PROJECT, Run, environment

RAW_FILES = [
    "stocks/AAPL.csv",
    "stocks/FB.csv",
    "stocks/GOOG.csv",
    "stocks/IBM.csv",
    "stocks/MSFT.csv",
    "symbols_valid_meta.csv",
]


def lineage(
    run: Run, artefact: str, *options: str, data_root: Path | None = None, named: bool = True
) -> subprocess.CompletedProcess[str]:
    root = ["--data-root", str(data_root or run.data_root)] if named else []
    return run_kedro(
        *("lineage", artefact, *root, *options), folder=PROJECT, variables=environment(run.store)
    )


def record(run: Run, artefact: str) -> dict[str, Any]:
    answer = lineage(run, artefact, "--json")
    assert answer.returncode == 0, answer.stderr
    chain: dict[str, Any] = json.loads(answer.stdout[answer.stdout.index("{\n") :])
    return chain


def below(chain: dict[str, Any], position: int) -> set[int]:
    """Positions of all that an artefact was made from, and its own."""
    nodes = {(node["run_id"], node["node"]): node for node in chain["nodes"]}
    found, waiting = set(), [position]
    while waiting:
        here = waiting.pop()
        found.add(here)
        for making in chain["artefacts"][here]["made_by"]:
            inputs = nodes[making["run_id"], making["node"]]["inputs"]
            waiting += [given["artefact"] for given in inputs if given["artefact"] not in found]
    return found


@pytest.mark.parametrize("which", ["latest", "tag"])
def test_bento_is_traced_to_the_raw_files(sample_run: Run, which: str) -> None:
    """From the served Bento the chain reaches every file of the source, by their digests."""
    tag = sample_run.report("run_manifest.json")["outputs"]["service_bento"]["tag"]
    chain = record(sample_run, tag if which == "tag" else "stock_volume:latest")
    assert chain["artefacts"][0]["tag"] == tag
    reached = [chain["artefacts"][position] for position in below(chain, 0)]
    raws = {one["name"]: one for one in reached if not one["made_by"]}
    # The sample has no events, so their source has no content.
    no_events, raw = raws.pop("raw_events"), raws.pop("raw_bars")
    assert not raws
    assert raw["raw"]
    reached.remove(no_events)
    folder = sample_run.path("01_raw", "sample")
    assert {(file["path"], file["sha256"]) for file in raw["files"]} == {
        ((folder / name).as_posix(), digest_file(folder / name).sha256) for name in RAW_FILES
    }
    states = {file["state"] for artefact in reached for file in artefact.get("files", [artefact])}
    assert states == {"unchanged"}


@pytest.mark.parametrize("name", ["stock_volume", "stock_volume_forecaster"])
def test_a_tag_knows_its_data_root(sample_run: Run, name: str) -> None:
    """Without --data-root, the layers of the run that made the tag are used."""
    answer = lineage(sample_run, f"{name}:latest", named=False)
    assert answer.returncode == 0, answer.stderr
    assert str(sample_run.path("02_intermediate", "prices.parquet")) in answer.stdout
    assert "unchanged" in answer.stdout


def test_each_served_model_is_in_the_chain_of_the_bento(sample_run: Run) -> None:
    """The Bento was made from the three versions that its run has put into the store."""
    outputs = sample_run.report("run_manifest.json")["outputs"]
    chain = record(sample_run, "service_bento")
    given = {chain["artefacts"][one["artefact"]]["tag"] for one in chain["nodes"][0]["inputs"]}
    models = ("estimator_model", "forecaster_model", "snapshot_model")
    assert given == {outputs[name]["tag"] for name in models}


def test_tree_names_runs_parameters_and_files(sample_run: Run) -> None:
    """The tree says which node of which run and code made what, of which raw files."""
    manifest = sample_run.report("run_manifest.json")
    answer = lineage(sample_run, "stock_volume_forecaster:latest", "--files")
    assert answer.returncode == 0, answer.stderr
    for text in (
        "by modelling.fit_forecaster in run 1, parameters forecaster",
        "by data_processing.ingest_bars in run 1",
        manifest["run_id"],
        manifest["git_revision"],
        "n_estimators=60",
        *RAW_FILES,
    ):
        assert text in answer.stdout
    assert answer.stderr == ""
    assert "INFO    stock_volume" not in answer.stdout


def test_changed_file_is_reported(sample_run: Run, tmp_path: Path) -> None:
    """A layer that was changed or deleted after its run is marked."""
    data = tmp_path / "data"
    shutil.copytree(sample_run.data_root, data)
    for manifest in (data / "08_reporting/run_manifests").iterdir():
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text.replace(str(sample_run.data_root), str(data)), encoding="utf-8")
    (data / "02_intermediate/prices.parquet").write_bytes(b"by hand")
    (data / "06_models/forecaster.joblib").unlink()
    answer = lineage(sample_run, "stock_volume_forecaster:latest", data_root=data)
    lines = [line.strip("│├└─ ") for line in answer.stdout.splitlines()]
    labels = {line.split()[0]: line for line in lines if " sha256 " in line}
    assert labels["prices"].endswith("changed since")
    assert labels["forecaster"].endswith("gone")
    assert labels["sessions"].endswith("unchanged")


@pytest.mark.parametrize("artefact", ["nothing", "stock_volume:none", "stock_vol:latest"])
def test_unknown_artefact_is_an_error(sample_run: Run, artefact: str) -> None:
    """An unknown artefact ends the command with one sentence and exit code 1."""
    answer = lineage(sample_run, artefact)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"Error: {artefact}")
    assert "Traceback" not in answer.stdout + answer.stderr


def test_folder_without_a_run_is_an_error(sample_run: Run, tmp_path: Path) -> None:
    """Without a manifest there is nothing to trace, and the command says so."""
    answer = lineage(sample_run, "prices", data_root=tmp_path)
    assert answer.returncode == 1
    assert "no run has left a manifest in" in answer.stderr
    assert not list(tmp_path.iterdir())


def test_make_prints_the_chain(sample_run: Run) -> None:
    """`make lineage` is the same command."""
    installed = "--assume-old=.venv/.installed"
    words = ["ARTEFACT=prices", f"DATA_ROOT={sample_run.data_root}", f"BIN={BIN}"]
    answer = subprocess.run(
        ["make", "--silent", installed, "lineage", *words],  # noqa: S607
        cwd=PROJECT,
        env=environment(sample_run.store),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "by data_processing.ingest_bars in run 1" in answer.stdout
