"""The project's commands: Kedro's ``run``, with its own parsing of parameters, and ``lineage``."""

import click

from stock_volume import __version__
from stock_volume.cli.lineage_command import lineage
from stock_volume.cli.run_command import run

__all__ = ["cli", "lineage", "run"]


@click.group(name="stock_volume")
@click.version_option(__version__)
def cli() -> None:
    """Forecast daily stock-market trading volume, from raw bars to a service."""


cli.add_command(run)
cli.add_command(lineage)
