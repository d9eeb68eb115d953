"""Kedro's configuration as this project reads it, on every way to a session."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from kedro.config import OmegaConfigLoader
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.validation.type_extractor import TypeExtractor
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ValidationError

from stock_volume.runtime_parameters import (
    Asked,
    Known,
    ParameterError,
    as_text,
    asked_in,
    check_complete,
    flatten,
    nest,
    read_value,
    refuse_unknown,
)
from stock_volume.sources.address import SAMPLE, is_remote

CATALOG: Final = "catalog"
PARAMETERS: Final = "parameters"
_OWN: Final = "stock_volume."
_PATHS: Final = ("filepath", "path", "landing")
"""Arguments of datasets that are paths: Kedro's two, and the folder of a source."""
_OWN_PATHS: Final = ("location", "symbols")
"""Arguments of this project's sources that may be paths."""


class ProjectConfigLoader(OmegaConfigLoader):
    """Kedro's loader, which can also say what configuration asks of runtime parameters."""

    def __init__(self, conf_source: str | Path, *args: Any, **kwargs: Any) -> None:
        """Load nothing yet; the arguments are Kedro's."""
        self._unresolved: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        super().__init__(conf_source, *args, **kwargs)

    def unresolved(self, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read configuration as it is written, with its interpolations.

        Args:
            key: ``catalog`` or ``parameters``.

        Returns:
            The entries of the base, and those of the environment.
        """
        if key not in self._unresolved:
            base, chosen, *_ = self._read_raw_config(key)
            self._unresolved[key] = _merged(base), _merged(chosen)
        return self._unresolved[key]

    def known(self, models: Mapping[str, type[BaseModel]]) -> Known:
        """Find the parameters that exist in this environment.

        Args:
            models: Of parameters, whose fields need not all be configured.

        Returns:
            What the catalog asks for, and what is configured.
        """
        base, chosen = self.unresolved(PARAMETERS)
        configured = dict(_groups({**base, **chosen}))
        for group, model in models.items():
            configured |= dict(_fields(group, model))
        return Known(self.asked(), configured)

    def used_elsewhere(self) -> dict[str, str]:
        """Find the parameters that do nothing in this environment.

        Returns:
            Why, and where they do, by name.
        """
        idle = self._idle()
        here = self.env or self.default_run_env
        replaced = {
            name: f"the environment {here} has another entry {entry} in its catalog"
            for name, entry in idle.items()
        }
        users: dict[str, list[str]] = {}
        for env in environments(self.conf_source):
            for name in self._in(env).asked().keys() - idle.keys():
                users.setdefault(name, []).append(f"--env {env}")
        return replaced | {name: f"use it with {' or '.join(by)}" for name, by in users.items()}

    def asked(self) -> dict[str, Asked]:
        """Find what this environment asks of runtime parameters, by their names."""
        base, chosen = self.unresolved(CATALOG)
        # Entries that begin with an underscore are parts of others in the same environment.
        kept = [base[name] for name in base if name[0] == "_" or name not in chosen]
        return asked_in([*kept, chosen, *self.unresolved(PARAMETERS)])

    def _idle(self) -> dict[str, str]:
        """Find the parameters that only replaced entries use, and these entries."""
        base, chosen = self.unresolved(CATALOG)
        asked = self.asked()
        return {
            name: entry
            for entry in base.keys() & chosen.keys()
            for name in asked_in(base[entry])
            if name not in asked
        }

    def _in(self, env: str) -> "ProjectConfigLoader":
        return ProjectConfigLoader(
            self.conf_source, env, base_env=self.base_env, default_run_env=self.default_run_env
        )


class ConfigurationHook:
    """Checks runtime parameters before anything runs, and roots paths in the project."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Replace what the session was given by what was meant.

        Raises:
            ParameterError: A parameter is unknown, does nothing or has an impossible value, or
                the catalog has something else where text must be.
        """
        loader = context.config_loader
        if not isinstance(loader, ProjectConfigLoader):
            return
        given = dict(flatten(loader.runtime_params or {}))
        known = loader.known(_models())
        if unknown := [name for name in given if name not in known]:
            pipelines.set_requested(None)  # those that do not run have parameters, too
            refuse_unknown(unknown, loader.known(_models()), loader.used_elsewhere())
        check_complete(given, known)
        values = {name: read_value(name, value, known) for name, value in given.items()}
        loader.runtime_params = nest(values)
        check_values(loader[PARAMETERS], _models())
        loader[CATALOG] = rooted(loader[CATALOG], context.project_path)


def environments(conf_source: str | Path) -> list[str]:
    """List the environments of a folder of configuration.

    Args:
        conf_source: The folder; an archive or an address has none that are listed.

    Returns:
        Their names, without the base.
    """
    folder = Path(conf_source)
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._"
    )


def check_values(parameters: Mapping[str, Any], models: Mapping[str, type[BaseModel]]) -> None:
    """Validate the parameters that have a model.

    Args:
        parameters: As configured.
        models: By parameter.

    Raises:
        ParameterError: A value is impossible; the message names field, value and rule.
    """
    for name, model in models.items():
        if name not in parameters:
            continue
        try:
            model.model_validate(parameters[name])
        except ValidationError as error:
            raise ParameterError(described(error, name)) from error


def described(error: ValidationError, name: str = "") -> str:
    """Say in one sentence what pydantic found wrong.

    Args:
        error: Of one model.
        name: Of the parameter that the model is of.

    Returns:
        Each field with its value and what is wrong with it.
    """
    problems = []
    for one in error.errors(include_url=False):
        field = ".".join(str(part) for part in (name, *one["loc"]) if part != "")
        value = "" if isinstance(one["input"], (dict, BaseModel)) else f" = {one['input']!r}"
        problems.append(f"{field}{value}: {one['msg']}")
    return "; ".join(problems)


def rooted(catalog: Mapping[str, Any], project: Path) -> dict[str, Any]:
    """Make the paths of a catalog absolute.

    Args:
        catalog: Its entries, resolved.
        project: The folder that relative paths mean.

    Returns:
        The entries, with ``~`` expanded.

    Raises:
        ParameterError: Something else is where a path or symbols must be.
    """
    return {name: _rooted(entry, project, name) for name, entry in catalog.items()}


def _rooted(entry: Any, project: Path, name: str) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    is_own = str(entry.get("type", "")).startswith(_OWN)
    keys = _PATHS + _OWN_PATHS if is_own else _PATHS
    return {
        key: _absolute(value, project, f"{name}.{key}", key)
        if key in keys
        else _rooted(value, project, f"{name}.{key}")
        for key, value in entry.items()
    }


def _absolute(value: Any, project: Path, name: str, key: str) -> Any:
    text = as_text(f"the catalog's {name}", value, several=key == "symbols")
    if not isinstance(text, str) or is_remote(text) or (key, text) == ("location", SAMPLE):
        return text
    path = Path(text)
    with suppress(RuntimeError):  # a name that begins with ~ and is no user's
        path = path.expanduser()
    return (project / path).as_posix()


def _merged(files: Mapping[Path, DictConfig]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for config in files.values():
        merged |= OmegaConf.to_container(config, resolve=False)  # type: ignore[arg-type]
    return merged


def _groups(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield groups and values alike by dotted name."""
    for name, value in nested.items():
        yield f"{prefix}{name}", value
        if isinstance(value, Mapping):
            yield from _groups(value, f"{prefix}{name}.")


def _fields(name: str, model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """Yield a model and its fields by dotted name; a group is a dictionary."""
    yield name, {}
    for field, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _fields(f"{name}.{field}", info.annotation)
        else:
            yield f"{name}.{field}", None


def _models() -> dict[str, type[BaseModel]]:
    """Return the models of the parameters that the pipelines use, by parameter."""
    types = TypeExtractor(dict(pipelines)).extract_types_from_pipelines()
    return {name: one for name, one in types.items() if issubclass(one, BaseModel)}
