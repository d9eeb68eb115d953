"""Hatch's hook that puts the project's files into a wheel; see stock_volume.project."""

from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES: Final = (
    "bentofile.yaml",
    "docs/sbom/serve.cdx.json",
    "docs/service.md",
    "requirements-serve.lock",
    "service.py",
)
FOLDER: Final = "stock_volume/_project"


class ProjectFilesHook(BuildHookInterface[Any]):
    """Adds configuration, bentofile and what it includes; an editable install has the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Choose the files."""
        if version == "editable":
            return
        conf = (file.relative_to(self.root) for file in Path(self.root, "conf").rglob("*.yml"))
        shared = [file for file in conf if file.parts[1] != "local"]
        # Kedro requires the folder of its default environment.
        names = [*FILES, *(file.as_posix() for file in shared), "conf/local/.gitkeep"]
        build_data["force_include"] |= {name: f"{FOLDER}/{name}" for name in names}
