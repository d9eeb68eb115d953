"""The mounts of Airflow's container, without an engine."""

import subprocess
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pytest
from omegaconf import OmegaConf

PROJECT: Final = Path(__file__).parents[2]
COMPOSE: Final = PROJECT / "deploy" / "airflow" / "compose.yaml"


def mounts() -> dict[PurePosixPath, tuple[str, bool]]:
    """Source of each mount, and whether it is read-only, by its place in the container."""
    loaded: Any = OmegaConf.to_container(OmegaConf.load(COMPOSE), resolve=False)
    parts = [mount.split(":") for mount in loaded["services"]["airflow"]["volumes"]]
    return {PurePosixPath(place): (source, rest == ["ro"]) for source, place, *rest in parts}


def test_what_is_mounted_on_is_in_every_clone() -> None:
    """No engine can make a folder in a read-only mount, so git has to bring it."""
    if not (PROJECT / ".git").exists():
        pytest.skip("no checkout")
    on_read_only = {
        place: (COMPOSE.parent / source).resolve() / place.relative_to(outer)
        for outer, (source, read_only) in mounts().items()
        for place in mounts()
        if read_only and outer in place.parents
    }
    assert PurePosixPath("/opt/stock_volume/project/logs") in on_read_only
    for folder in on_read_only.values():
        tracked = subprocess.run(
            ["git", "ls-files", "--", str(folder)],  # noqa: S607
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert tracked.stdout.strip(), f"git has nothing in {folder}"
