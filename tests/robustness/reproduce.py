"""``make reproduce TAG=…``: rebuild a served model in a clean clone of its revision.

The run's manifest names the revision, the parameters and the raw files. The rebuilt layers and the
files of the rebuilt models and Bento are compared with the recorded ones by their SHA-256.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from click import ClickException
from pydantic import JsonValue

from stock_volume.checksums import CHECKSUMS_FILE
from stock_volume.cli.lineage_command import find_recorded_data_root, resolve_latest
from stock_volume.errors import StockVolumeError
from stock_volume.lineage.digests import UNKNOWN_REVISION, fingerprint, parameters_digest
from stock_volume.lineage.history import Artefact, Chain, History, key_of
from stock_volume.lineage.manifest import RunManifest, StoredTag
from stock_volume.sources.address import EVENT_SERVICES, SAMPLE, is_remote
from stock_volume.stored_model import SERVED_NAMES

PROJECT: Final = Path(__file__).parents[2]
DIRTY: Final = "-dirty"
EQUAL: Final = "equal"
PLACES: Final = ("data_root", "source", "events")
"""Parameters that say where files are."""

MISSING: Final = "missing"
REPORTING: Final = "08_reporting"
NAMES_TAGS: Final = "src/bentofile.yaml"
"""File of a Bento with the tags of its models, which are random."""


class ReproductionError(StockVolumeError):
    """A model cannot be rebuilt."""


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        name: What is compared.
        recorded: What the manifest says, or a digest.
        rebuilt: The same of the rebuilt run.
        is_result: Whether a difference means that the reproduction failed; other rows explain it.
    """

    name: str
    recorded: str
    rebuilt: str
    is_result: bool = True

    @property
    def verdict(self) -> str:
        """``equal`` or ``differs``."""
        return EQUAL if self.recorded == self.rebuilt else "differs"


def find_chain(tag: str, data_root: Path) -> tuple[RunManifest, Chain]:
    """Find the run that made a Bento or model, and everything that it was made from.

    Raises:
        ReproductionError: The chain includes an update.
        UnknownArtefactError: No manifest of the data root has the tag.
    """
    paths = (data_root / REPORTING / "run_manifests").glob("*.json")
    manifests = [RunManifest.model_validate_json(path.read_bytes()) for path in paths]
    history = History(manifests)
    chain = history.trace(history.find(tag, lambda _: None))
    runs = [history.runs[execution.run] for execution in chain.inputs]
    if any("update" in run.pipelines for run in runs):
        raise ReproductionError(
            f"{tag}: an update made part of it; only what `kedro run` made can be rebuilt, because "
            "an update merges what its source answered on that day"
        )
    return history.runs[chain.root.made_by[0].run], chain


def clone(revision: str, folder: Path) -> str:
    """Clone the project at a revision; return the revision of the clone.

    Raises:
        ReproductionError: The revision is unknown here.
    """
    commit = revision.removesuffix(DIRTY)
    if commit == UNKNOWN_REVISION:
        raise ReproductionError("the run was not in a Git checkout, so its revision is unknown")
    _git("clone", "--quiet", "--no-checkout", str(PROJECT), str(folder), cwd=PROJECT)
    try:
        _git("checkout", "--quiet", "--detach", commit, cwd=folder)
    except subprocess.CalledProcessError as error:
        raise ReproductionError(f"this checkout has no revision {commit}; fetch it") from error
    return commit


def _git(*arguments: str, cwd: Path) -> None:
    subprocess.run(["git", *arguments], cwd=cwd, check=True)  # noqa: S607


def choose_parameters(
    recorded: Mapping[str, JsonValue], raw: Artefact | None, source: str | None, data_root: Path
) -> dict[str, JsonValue]:
    """Return the parameters of the rebuilding run, as ``kedro run --config`` takes them."""
    given = dict(recorded) | {"data_root": data_root.as_posix()}
    exchange = given["exchange"]
    if isinstance(exchange, dict):  # recorded as validated
        given["exchange"] = exchange["code"]
    is_sample = raw is None or not raw.files or Path(raw.place).name == SAMPLE
    place = source or given.get("source") or (None if is_sample or raw is None else raw.place)
    given["source"] = _make_absolute(place)
    given["events"] = _make_absolute(given.get("events"))
    return {name: value for name, value in given.items() if value is not None}


def _make_absolute(place: JsonValue) -> JsonValue:
    if isinstance(place, list):
        return [_make_absolute(one) for one in place]
    if not isinstance(place, str) or is_remote(place) or place in {SAMPLE, *EVENT_SERVICES}:
        return place
    return (PROJECT / Path(place).expanduser()).as_posix()


def rebuild(project: Path, folder: Path, parameters: Mapping[str, JsonValue], kedro: Path) -> None:
    """Run the clone.

    Raises:
        ReproductionError: The run failed; the message ends with its output.
    """
    config = folder / "run.json"  # JSON is YAML
    config.write_text(json.dumps({"run": {"params": dict(parameters)}}), encoding="utf-8")
    done = subprocess.run(
        [kedro, "run", "--config", config],
        cwd=project,
        env={
            **os.environ,
            "BENTOML_HOME": str(folder / "store"),
            "PYTHONPATH": str(project / "src"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ReproductionError(f"the run failed:\n{(done.stdout + done.stderr)[-3000:]}")


def compare(
    recorded: RunManifest, chain: Chain, rebuilt: RunManifest, stores: tuple[Path, Path]
) -> Iterator[Row]:
    """Compare a recorded run and everything it was made from with the rebuilt run.

    Yields:
        What explains a difference first, and then the artefacts.
    """
    yield Row("revision", recorded.git_revision, rebuilt.git_revision, is_result=False)
    yield Row("code", recorded.code[:12] or "not recorded", rebuilt.code[:12], is_result=False)
    for name in sorted({*recorded.versions, *rebuilt.versions}):
        then, now = (run.versions.get(name, MISSING) for run in (recorded, rebuilt))
        if then != now:
            yield Row(f"version of {name}", then, now, is_result=False)
    then, now = (_digest_values(run.parameters) for run in (recorded, rebuilt))
    yield Row("parameters", then, now, is_result=False)
    contents = {**rebuilt.inputs, **rebuilt.outputs}
    for artefact in sorted(chain.artefacts, key=lambda one: (bool(one.made_by), one.name)):
        content = contents.get(artefact.name)
        if isinstance(content, StoredTag) and artefact.tag:
            then = _digest_version(stores[0], artefact.tag)
            now = _digest_version(stores[1], content.tag)
        else:
            then, now = artefact.key, key_of(content)
        if then or now:  # neither is known of an empty folder
            yield Row(artefact.name, then[:12], now[:12] or MISSING, bool(artefact.made_by))


def _digest_values(parameters: Mapping[str, JsonValue]) -> str:
    values = {name: value for name, value in parameters.items() if name not in PLACES}
    return parameters_digest(values)[:12]


def _digest_version(store: Path, tag: str) -> str:
    """Digest the checksums of a version, without files that have tags or the time."""
    name, _, version = tag.partition(":")
    kind = "models" if name in SERVED_NAMES else "bentos"
    path = store / kind / name / version / CHECKSUMS_FILE
    if not path.is_file():
        return ""
    lines = (one.partition("  ") for one in path.read_text(encoding="utf-8").splitlines())
    return fingerprint((file, sha256) for sha256, _, file in lines if file != NAMES_TAGS)


def print_table(rows: list[Row]) -> bool:
    """Print the rows; return whether all results are equal."""
    print(f"{'':28} {'recorded':48} {'rebuilt':48}")
    for row in rows:
        print(f"{row.name:28} {row.recorded:48} {row.rebuilt:48} {row.verdict}")
    results = [row for row in rows if row.is_result]
    equal = sum(row.verdict == EQUAL for row in results)
    print(f"\n{equal} of {len(results)} artefacts are equal")
    explanations = [row.name for row in rows if not row.is_result and row.verdict != EQUAL]
    if explanations:
        print(f"differs before any artefact is made: {', '.join(explanations)}")
    return equal == len(results)


def reproduce(options: argparse.Namespace, folder: Path) -> bool:
    """Rebuild a model below a folder, print the table, and return whether all is equal."""
    import bentoml  # noqa: F401 (reads BENTOML_HOME)
    from bentoml._internal.configuration.containers import BentoMLContainer

    tag = resolve_latest(options.tag)
    place = options.data_root or find_recorded_data_root(tag)
    if place is None:
        raise ReproductionError(f"{tag}: its data root is not recorded or gone; give DATA_ROOT=")
    recorded, chain = find_chain(tag, Path(place))
    project = folder / "clone"
    clone(recorded.git_revision, project)
    kedro = Path(sys.executable).with_name("kedro")
    if not options.here:
        python = [f"PYTHON={options.python}"] if options.python else []
        command = ["make", "--quiet", "-C", str(project), ".venv/.installed", *python]
        subprocess.run(command, check=True)
        kedro = project / ".venv/bin/kedro"
    raw = next((one for one in chain.artefacts if one.name == "raw_bars"), None)
    parameters = choose_parameters(recorded.parameters, raw, options.source, folder / "data")
    print(f"{tag}, rebuilt from {parameters.get('source', 'the embedded sample')}\n", flush=True)
    rebuild(project, folder, parameters, kedro)
    path = folder / "data" / REPORTING / "run_manifest.json"
    rebuilt = RunManifest.model_validate_json(path.read_bytes())
    stores = Path(BentoMLContainer.bentoml_home.get()), folder / "store"
    return print_table(list(compare(recorded, chain, rebuilt, stores)))


def main() -> int:
    """Rebuild and compare; return 1 if an artefact differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag", nargs="?", default="stock_volume:latest")
    parser.add_argument("--data-root", help="folder of the layers, if it is not recorded")
    parser.add_argument("--source", help="the raw bars, if they have moved")
    parser.add_argument("--python", help="interpreter of the clone's environment")
    parser.add_argument("--here", action="store_true", help="use the packages of this environment")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory(prefix="reproduce-") as name:
            return int(not reproduce(options, Path(name)))
    except (StockVolumeError, ClickException) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
