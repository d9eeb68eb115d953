"""Which Bento is served, and the models that it pins."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import bentoml
from bentoml.exceptions import BentoMLException, NotFound

from stock_volume.checksums import DamagedFolderError, verify_checksums
from stock_volume.stored_model import SERVED_NAMES, StoredModel

Result = TypeVar("Result")

BENTO_NAME: Final = "stock_volume"


class UnservableError(BentoMLException):
    """There is no Bento, or not all of its models; ``bentoml serve`` prints it as one line."""


def bento_to_serve(loaded: bentoml.Bento | None) -> bentoml.Bento:
    """Return the Bento whose models answer.

    Args:
        loaded: The Bento that the server was started with; None for the project itself.

    Returns:
        That Bento or, for the project, the newest one in the store: the latest complete run's.

    Raises:
        UnservableError: The project is served, and the store holds no Bento.
    """
    if loaded is not None:
        return loaded
    try:
        return bentoml.bentos.get(BENTO_NAME)
    except NotFound as error:
        raise UnservableError(
            f"the BentoML store has no Bento {BENTO_NAME}, so there are no models to serve; "
            "make one with `kedro run`, or set BENTOML_HOME to the store that has one"
        ) from error


def check_pinned(bento: bentoml.Bento) -> None:
    """Verify the models that a Bento pins, without reading them.

    Args:
        bento: The Bento.

    Raises:
        UnservableError: As ``pinned_models`` raises it.
    """
    _each_pinned(bento, lambda model: verify_checksums(Path(model.path)))


def pinned_models(bento: bentoml.Bento) -> tuple[StoredModel, ...]:
    """Read the models that a Bento pins.

    Args:
        bento: The Bento.

    Returns:
        One model for each of ``SERVED_NAMES``, in that order.

    Raises:
        UnservableError: The Bento pins no version of a model, or the store lacks that version or
            has not all of it.
    """
    return tuple(_each_pinned(bento, StoredModel.from_store))


def _each_pinned(bento: bentoml.Bento, use: Callable[[bentoml.Model], Result]) -> list[Result]:
    """Do something with each model, and explain what a Bento lacks."""
    tags = {model.tag.name: model.tag for model in bento.info.all_models}
    results = []
    for name in SERVED_NAMES:
        if name not in tags:
            raise UnservableError(
                f"{bento.tag} pins no {name}: no run has packaged it; make another Bento with "
                "`kedro run`"
            )
        try:
            results.append(use(bentoml.models.get(tags[name])))
        except NotFound as error:
            raise UnservableError(
                f"{bento.tag} pins {tags[name]}, which is not in the BentoML store; import the "
                "Bento from its archive (`bentoml import`), or make another with `kedro run`"
            ) from error
        except DamagedFolderError as error:
            raise UnservableError(f"{bento.tag} pins {tags[name]}: {error}") from error
    return results
