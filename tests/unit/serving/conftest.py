"""The service in this process, with the models of a made-up market in a store of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stock_volume.stored_model import SERVED_NAMES
from tests.unit.service_helpers import save_bento, save_model

if TYPE_CHECKING:
    from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let this session have a BentoML home of its own."""
    from bentoml._internal.bento import BentoStore
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    home = tmp_path_factory.mktemp("bentoml")
    for folder in ("models", "bentos", "tmp"):
        (home / folder).mkdir()
    BentoMLContainer.bentoml_home.set(str(home))
    BentoMLContainer.model_store.set(ModelStore(home / "models"))
    BentoMLContainer.bento_store.set(BentoStore(home / "bentos"))
    BentoMLContainer.tmp_bento_store_dir.set(str(home / "tmp"))
    yield home
    BentoMLContainer.tmp_bento_store_dir.reset()
    BentoMLContainer.bento_store.reset()
    BentoMLContainer.model_store.reset()
    BentoMLContainer.bentoml_home.reset()


@pytest.fixture(scope="session")
def tags(home: Path) -> dict[str, str]:
    """Put the models into the store and a Bento that pins them, and return their tags."""
    tags = {name: save_model(name) for name in SERVED_NAMES}
    save_bento(home, tags)
    return tags


@pytest.fixture(scope="session")
def client(tags: dict[str, str]) -> Iterator["TestClient"]:
    """A client of the whole service, BentoML's part included."""
    from starlette.testclient import TestClient

    from stock_volume.serving import service

    assert tags
    served: Any = service.StockVolume
    with TestClient(served.to_asgi(), raise_server_exceptions=False) as client:
        service.loader.wait(seconds=60)
        yield client
