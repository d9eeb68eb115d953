"""``kedro run``, with this project's parsing of parameters and checks of names."""

import os
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict, cast

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS
from kedro.framework.project import settings

from stock_volume import pipelines
from stock_volume.cli.reporting import VERBOSE_OPTION, ReportingCommand, project_folder
from stock_volume.configuration import environments
from stock_volume.errors import StockVolumeError, suggest_name
from stock_volume.runtime_parameters import RawValue, nest, split

_PARAMS_HELP: Final = """Parameters of this run: name=value, more after a comma or by another
--params; nested names have dots. Paths, addresses and symbols are taken as typed, and other
values are YAML."""


class UnknownNameError(StockVolumeError):
    """A pipeline or an environment does not exist."""


class RunOptions(TypedDict):
    """The options of ``kedro run`` that name something."""

    pipeline: str | None
    pipelines: Sequence[str]
    env: str | None
    conf_source: str | None


class ParametersOption(click.Option):
    """``--params``, which may be repeated."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Parse the option; ``--config`` may contain a text or a dictionary instead."""
        if isinstance(value, Mapping):
            return dict(value)
        texts = [value] if isinstance(value, str) else super().type_cast_value(ctx, value)
        given: dict[str, RawValue] = {}
        for text in texts:
            given |= split(text)
        return nest(given)


_REPLACED_OPTIONS: Final = {
    "params": ParametersOption(
        ["--params"], multiple=True, type=click.UNPROCESSED, help=_PARAMS_HELP
    )
}


def _run(**options: Any) -> Any:
    check_names(cast("RunOptions", options))
    return kedro_run.callback(**options)  # type: ignore[misc]


run: Final = ReportingCommand(
    "run",
    callback=_run,
    params=[
        *(_REPLACED_OPTIONS.get(str(option.name), option) for option in kedro_run.params),
        VERBOSE_OPTION,
    ],
    help=kedro_run.help,
    context_settings=CONTEXT_SETTINGS,
)


def check_names(options: RunOptions) -> None:
    """Refuse pipelines and environments that do not exist, before anything is loaded.

    Args:
        options: The command's options.

    Raises:
        UnknownNameError: A name does not exist; the message suggests the closest name and
            lists all.
    """
    existing = [
        "__default__",
        *(module.name for module in pkgutil.iter_modules(pipelines.__path__)),
    ]
    for name in [*options["pipelines"], *filter(None, [options["pipeline"]])]:
        _check_name("pipeline", name, existing)
    env = options["env"] or os.environ.get("KEDRO_ENV")
    conf = Path(options["conf_source"] or project_folder() / settings.CONF_SOURCE)
    if env and conf.is_dir() and not (conf / env).is_dir():
        _check_name("environment", env, environments(conf))


def _check_name(kind: str, name: str, existing: Sequence[str]) -> None:
    if name in existing:
        return
    hint = suggest_name(name, existing)
    raise UnknownNameError(f"there is no {kind} {name}{hint} There are: {', '.join(existing)}")
