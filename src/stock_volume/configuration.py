"""Kedro's configuration, with checked runtime parameters and absolute paths in every session."""

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

from stock_volume.json_value import Json
from stock_volume.project import project_file
from stock_volume.runtime_parameters import (
    RENAMED,
    KnownParameters,
    ParameterError,
    Placeholder,
    check_required,
    check_text,
    describe_rename,
    find_placeholders,
    flatten,
    nest,
    read_value,
    refuse_unknown,
)
from stock_volume.sources.address import EVENT_SERVICES, SAMPLE, is_remote

CATALOG: Final = "catalog"
PARAMETERS: Final = "parameters"
_OWN: Final = "stock_volume."
_PATHS: Final = ("filepath", "path", "landing")
"""Arguments of datasets that are paths: Kedro's two, and the landing folder of a source."""
_OWN_PATHS: Final = ("location", "symbols", "files")
"""Arguments of this project's sources that may be paths."""

_SEVERAL: Final = ("symbols", "files")
"""Arguments among them that may be lists, or missing."""

Entries = dict[str, Json]
"""Entries of configuration files, by name."""


class ProjectConfigLoader(OmegaConfigLoader):
    """Kedro's loader, which also finds the runtime parameters that the configuration uses."""

    def __init__(self, conf_source: str | Path, *args: Any, **kwargs: Any) -> None:
        """Create the loader with Kedro's arguments; files are read on demand."""
        self._unresolved: dict[str, tuple[Entries, Entries]] = {}
        kwargs.setdefault("custom_resolvers", {"project_file": project_file})
        super().__init__(conf_source, *args, **kwargs)

    def read_unresolved(self, key: str) -> tuple[Entries, Entries]:
        """Read configuration files without resolving interpolations.

        Args:
            key: ``catalog`` or ``parameters``.

        Returns:
            The entries of the base environment, and of the chosen environment.
        """
        if key not in self._unresolved:
            base, chosen, *_ = self._read_raw_config(key)
            self._unresolved[key] = _merge(base), _merge(chosen)
        return self._unresolved[key]

    def find_parameters(self, models: Mapping[str, type[BaseModel]]) -> KnownParameters:
        """Find the parameters that this environment has.

        Args:
            models: Models of parameters; their fields exist even if they are not configured.

        Returns:
            The placeholders of the configuration, and the configured values.
        """
        base, chosen = self.read_unresolved(PARAMETERS)
        configured = dict(_iterate_groups({**base, **chosen}))
        for group, model in models.items():
            configured |= dict(_iterate_fields(group, model))
        texts = frozenset(_iterate_texts(models))
        return KnownParameters(self.find_placeholders(), configured, texts)

    def find_unused(self) -> dict[str, str]:
        """Find the parameters that have no effect in this environment.

        Returns:
            The reason, and what to do instead, by name.
        """
        idle = self._find_idle()
        here = self.env or self.default_run_env
        replaced = {
            name: f"the environment {here} has another entry {entry} in its catalog"
            for name, entry in idle.items()
        }
        users: dict[str, list[str]] = {}
        for env in environments(self.conf_source):
            for name in self._in(env).find_placeholders().keys() - idle.keys():
                users.setdefault(name, []).append(f"--env {env}")
        return replaced | {name: f"use it with {' or '.join(by)}" for name, by in users.items()}

    def find_placeholders(self) -> dict[str, Placeholder]:
        """Find the placeholders of this environment, by the parameter's name."""
        base, chosen = self.read_unresolved(CATALOG)
        # Entries that begin with an underscore are parts of others in the same environment.
        kept = [base[name] for name in base if name[0] == "_" or name not in chosen]
        return find_placeholders([*kept, chosen, *self.read_unresolved(PARAMETERS)])

    def _find_idle(self) -> dict[str, str]:
        """Find the parameters that only replaced entries use, with the entry of each."""
        base, chosen = self.read_unresolved(CATALOG)
        used = self.find_placeholders()
        return {
            name: entry
            for entry in base.keys() & chosen.keys()
            for name in find_placeholders(base[entry])
            if name not in used
        }

    def _in(self, env: str) -> "ProjectConfigLoader":
        return ProjectConfigLoader(
            self.conf_source, env, base_env=self.base_env, default_run_env=self.default_run_env
        )


class ConfigurationHook:
    """Checks runtime parameters before a run, and makes paths absolute."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Parse the session's runtime parameters, and replace them in the configuration.

        Raises:
            ParameterError: A parameter is unknown, has no effect or has an invalid value, or a
                path in the catalog is not text.
        """
        loader = context.config_loader
        if not isinstance(loader, ProjectConfigLoader):
            return
        given = dict(flatten(loader.runtime_params or {}))
        known = loader.find_parameters(parameter_models())
        if unknown := [name for name in given if name not in known]:
            pipelines.set_requested(None)  # to know the parameters of all pipelines
            refuse_unknown(
                unknown, loader.find_parameters(parameter_models()), loader.find_unused()
            )
        check_required(given, known)
        values = {name: read_value(name, value, known) for name, value in given.items()}
        loader.runtime_params = nest(values)
        check_values(loader[PARAMETERS], parameter_models())
        loader[CATALOG] = make_paths_absolute(loader[CATALOG], context.project_path)


def parameter_models() -> dict[str, type[BaseModel]]:
    """Find the models of the parameters that the pipelines use.

    Returns:
        Models by the name of their parameter.
    """
    types = TypeExtractor(dict(pipelines)).extract_types_from_pipelines()
    return {name: one for name, one in types.items() if issubclass(one, BaseModel)}


def environments(conf_source: str | Path) -> list[str]:
    """List the environments of a folder of configuration.

    Args:
        conf_source: The folder; environments in an archive or at an address are not listed.

    Returns:
        Their names, sorted.
    """
    folder = Path(conf_source)
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._"
    )


def check_values(parameters: Mapping[str, Json], models: Mapping[str, type[BaseModel]]) -> None:
    """Validate the parameters that have a model.

    Args:
        parameters: The configured parameters.
        models: Models by the name of their parameter.

    Raises:
        ParameterError: A value is invalid; the message names field, value and rule.
    """
    for name, model in models.items():
        if name not in parameters:
            continue
        try:
            model.model_validate(parameters[name])
        except ValidationError as error:
            raise ParameterError(describe_errors(error, name)) from error


def describe_errors(error: ValidationError, name: str = "") -> str:
    """Describe the errors that pydantic found, in one sentence.

    Args:
        error: Errors of one model.
        name: Name of the parameter that the model belongs to.

    Returns:
        Each invalid field, its value, and what is wrong.
    """
    problems = []
    for one in error.errors(include_url=False):
        field = ".".join(str(part) for part in (name, *one["loc"]) if part != "")
        if field in RENAMED:
            problems.append(describe_rename(field))
            continue
        value = "" if isinstance(one["input"], (dict, BaseModel)) else f" = {one['input']!r}"
        problems.append(f"{field}{value}: {one['msg']}")
    return "; ".join(problems)


def make_paths_absolute(catalog: Mapping[str, Json], project: Path) -> Entries:
    """Make the paths of a catalog absolute.

    Args:
        catalog: Entries, resolved.
        project: The folder that relative paths refer to.

    Returns:
        The entries, with ``~`` expanded.

    Raises:
        ParameterError: A path or a symbol is not text.
    """
    return {name: _make_paths_absolute(entry, project, name) for name, entry in catalog.items()}


def _make_paths_absolute(entry: Json, project: Path, name: str) -> Json:
    if not isinstance(entry, Mapping):
        return entry
    is_own = str(entry.get("type", "")).startswith(_OWN)
    keys = _PATHS + _OWN_PATHS if is_own else _PATHS
    return {
        key: _make_absolute(value, project, f"{name}.{key}", key)
        if key in keys
        else _make_paths_absolute(value, project, f"{name}.{key}")
        for key, value in entry.items()
    }


def _make_absolute(value: Json, project: Path, name: str, key: str) -> Json:
    text: Json = check_text(f"the catalog's {name}", value, several=key in _SEVERAL)
    if key == "files" and isinstance(text, list):
        return [_make_absolute(one, project, name, key) for one in text]
    if not isinstance(text, str) or is_remote(text) or _is_word(key, text):
        return text
    path = Path(text)
    with suppress(RuntimeError):  # ~name, and there is no such user
        path = path.expanduser()
    return (project / path).as_posix()


def _is_word(key: str, text: str) -> bool:
    """Return whether a text names something built in rather than a path."""
    return (key == "location" and text == SAMPLE) or (key == "files" and text in EVENT_SERVICES)


def _merge(files: Mapping[Path, DictConfig]) -> Entries:
    merged: Entries = {}
    for config in files.values():
        merged |= OmegaConf.to_container(config, resolve=False)  # type: ignore[arg-type]
    return merged


def _iterate_groups(nested: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Yield groups and values by dotted name."""
    for name, value in nested.items():
        yield f"{prefix}{name}", value
        if isinstance(value, Mapping):
            yield from _iterate_groups(value, f"{prefix}{name}.")


def _iterate_fields(name: str, model: type[BaseModel]) -> Iterator[tuple[str, Json]]:
    """Yield a model and its fields by dotted name; a group is an empty dictionary."""
    yield name, {}
    for field, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _iterate_fields(f"{name}.{field}", info.annotation)
        else:
            yield f"{name}.{field}", None


def _iterate_texts(models: Mapping[str, type[BaseModel]]) -> Iterator[str]:
    """Yield the dotted names of fields that are text, or null."""
    for name, model in models.items():
        for field, info in model.model_fields.items():
            if info.annotation in (str, str | None):
                yield f"{name}.{field}"
