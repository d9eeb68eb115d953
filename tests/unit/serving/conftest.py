"""The service in this process, with the models of a made-up market in a store of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.service_helpers import stored_models

if TYPE_CHECKING:
    from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def tags(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Put the models into a store of this session's own, and tell their tags."""
    import bentoml
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    home = tmp_path_factory.mktemp("bentoml")
    BentoMLContainer.bentoml_home.set(str(home))
    BentoMLContainer.model_store.set(ModelStore(home / "models"))
    tags = {}
    for name, stored in stored_models().items():
        with bentoml.models.create(name, metadata=stored.metadata) as model:
            stored.write_into(Path(model.path))
        tags[name] = str(model.tag)
    yield tags
    BentoMLContainer.model_store.reset()
    BentoMLContainer.bentoml_home.reset()


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
