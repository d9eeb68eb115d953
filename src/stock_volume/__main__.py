"""``stock_volume``, also ``python -m stock_volume``: the project's commands without a checkout."""

import os
from pathlib import Path
from typing import Final

from stock_volume.project import project_file

COMMAND: Final = "stock_volume"
STORE: Final = "BENTOML_HOME"


def main() -> None:
    """Run a command."""
    # Kedro reads this when it is imported, and otherwise looks in the current folder.
    os.environ.setdefault("KEDRO_LOGGING_CONFIG", project_file("conf/logging.yml"))
    from kedro.framework.project import configure_project

    if store := os.environ.get(STORE):
        # The current folder changes while a Bento is built.
        os.environ[STORE] = str(Path(store).expanduser().absolute())
    configure_project(COMMAND)
    from stock_volume.cli import cli

    cli(prog_name=COMMAND)


if __name__ == "__main__":
    main()
