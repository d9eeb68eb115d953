"""Which models a Bento serves, looked up in stores of this process."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from stock_volume.stored_model import SERVED_NAMES, StoredModel
from tests.unit.service_helpers import BENTOML_WARNINGS, PROJECT, save_bento

pytestmark = BENTOML_WARNINGS


@contextmanager
def stores(home: Path) -> Iterator[None]:
    """Let this process use the stores of another BentoML home."""
    from bentoml._internal.bento import BentoStore
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    for folder in ("models", "bentos", "tmp"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    with (
        BentoMLContainer.model_store.patch(ModelStore(home / "models")),
        BentoMLContainer.bento_store.patch(BentoStore(home / "bentos")),
        BentoMLContainer.tmp_bento_store_dir.patch(str(home / "tmp")),
    ):
        yield


class Packaged(NamedTuple):
    """Two runs' Bentos in one store, and versions of the models that neither pins."""

    home: Path
    old: str
    old_models: dict[str, str]
    new: str
    new_models: dict[str, str]


def save_versions() -> dict[str, str]:
    """Put a new version of each model into the store."""
    import bentoml

    tags = {}
    for name in SERVED_NAMES:
        with bentoml.models.create(name) as model:
            StoredModel({"a.txt": name}).write_into(Path(model.path))
        tags[name] = str(model.tag)
    return tags


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Packaged:
    home = tmp_path_factory.mktemp("packaged")
    with stores(home):
        old_models = save_versions()
        old = save_bento(home, old_models)
        new_models = save_versions()
        new = save_bento(home, new_models)
        save_versions()
    return Packaged(home, old, old_models, new, new_models)


def served(tag: str | None) -> list[str | None]:
    """Tags of the models that a Bento serves; None for the project."""
    import bentoml

    from stock_volume.serving.pinned import bento_to_serve, check_pinned, pinned_models

    loaded = bentoml.bentos.get(tag) if tag else None
    check_pinned(bento_to_serve(loaded))
    return [model.tag for model in pinned_models(bento_to_serve(loaded))]


def assert_unservable(tag: str | None, *words: str) -> None:
    """Check that a Bento is refused in one line that has these words, read or only verified."""
    import bentoml

    from stock_volume.serving.pinned import (
        UnservableError,
        bento_to_serve,
        check_pinned,
        pinned_models,
    )

    loaded = bentoml.bentos.get(tag) if tag else None
    for use in (check_pinned, pinned_models):
        with pytest.raises(UnservableError) as refused:
            use(bento_to_serve(loaded))
        assert "\n" not in str(refused.value)
        for word in words:
            assert word in str(refused.value)


def test_a_bento_serves_its_own_models(packaged: Packaged) -> None:
    """By its tag a Bento serves the models it was made of, whatever was made since."""
    with stores(packaged.home):
        assert served(packaged.old) == list(packaged.old_models.values())
        assert served(packaged.new) == list(packaged.new_models.values())


def test_the_project_serves_the_newest_bento(packaged: Packaged) -> None:
    """Without a Bento the newest one's models are served, not the newest of the store."""
    with stores(packaged.home):
        assert served(None) == list(packaged.new_models.values())


def test_an_archive_brings_its_models(packaged: Packaged, tmp_path: Path) -> None:
    """Imported elsewhere, where newer models are, an older Bento serves those that it pins."""
    import bentoml

    archive = tmp_path / "old.bento"
    with stores(packaged.home):
        bentoml.bentos.export_bento(packaged.old, str(archive))
    with stores(tmp_path / "home"):
        bentoml.bentos.import_bento(str(archive))
        save_versions()
        assert served(packaged.old) == served(None) == list(packaged.old_models.values())


@pytest.mark.parametrize("name", SERVED_NAMES)
def test_a_pinned_model_that_is_gone_is_named(
    packaged: Packaged, tmp_path: Path, name: str
) -> None:
    """Without a model that it pins a Bento is refused, and no other version is taken instead."""
    home = tmp_path / "home"
    shutil.copytree(packaged.home, home)
    gone = packaged.old_models[name]
    shutil.rmtree(home / "models" / gone.replace(":", "/"))
    with stores(home):
        assert_unservable(packaged.old, f"{packaged.old} pins {gone}, which is not in", "import")
        assert served(packaged.new) == list(packaged.new_models.values())


def test_a_changed_model_is_refused(packaged: Packaged, tmp_path: Path) -> None:
    """A file that differs from its checksum is noticed before the server starts."""
    home = tmp_path / "home"
    shutil.copytree(packaged.home, home)
    changed = packaged.old_models[SERVED_NAMES[-1]]
    (home / "models" / changed.replace(":", "/") / "a.txt").write_text("changed")
    with stores(home):
        assert_unservable(packaged.old, f"{packaged.old} pins {changed}", "a.txt")


def test_a_bento_that_pins_nothing_is_refused(tmp_path: Path) -> None:
    """A Bento that no run has packaged names no models, and the store's latest are no answer."""
    import bentoml

    with stores(tmp_path):
        save_versions()
        bentoml.bentos.build_bentofile(str(PROJECT / "bentofile.yaml"), build_ctx=str(PROJECT))
        assert_unservable(None, "pins no stock_volume_estimator", "`kedro run`")


def test_a_store_without_a_bento_is_refused(tmp_path: Path) -> None:
    """Models alone are not served: they may be of runs that did not come to their end."""
    with stores(tmp_path):
        save_versions()
        assert_unservable(None, "no Bento stock_volume", "`kedro run`")
