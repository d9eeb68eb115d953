"""The BentoML service."""

from typing import Final

import bentoml
from bentoml.images import Image
from bentoml.models import BentoModel

from stock_volume.serving.app import create_app
from stock_volume.serving.loading import LoadedModels, ModelLoader
from stock_volume.serving.surface import MOST_SECONDS, Surface
from stock_volume.stored_model import (
    ESTIMATOR_NAME,
    FORECASTER_NAME,
    SNAPSHOT_NAME,
    StoredModel,
)

loader: Final = ModelLoader()
app: Final = create_app(loader)


# Without a distro BentoML adds neither compilers nor git, a third of the image; LightGBM asks for
# the threads of libgomp1.
IMAGE: Final = Image(base_image="python:3.11-slim", distro="none").run(
    "apt-get update && apt-get install -q -y --no-install-recommends libgomp1 "
    "&& rm -rf /var/lib/apt/lists/*"
)


# BentoML's own counters keep one series for each path ever asked for, without bound, and with
# its access log and traces cost more than the answers: Surface counts by route instead.
@bentoml.service(
    name="stock_volume",
    image=IMAGE,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
    # It has no off. Surface answers sooner, and in the shape of all errors.
    traffic={"timeout": MOST_SECONDS + 2},
)
@bentoml.asgi_app(app)
class StockVolume:
    """Forecasts and estimates of daily trading volume."""

    estimator_model = BentoModel(f"{ESTIMATOR_NAME}:latest")
    forecaster_model = BentoModel(f"{FORECASTER_NAME}:latest")
    snapshot_model = BentoModel(f"{SNAPSHOT_NAME}:latest")

    def __init__(self) -> None:
        """Begin to load the models of the Bento or, outside one, the store's latest."""
        loader.start(
            lambda: LoadedModels.of(
                StoredModel.from_store(self.estimator_model),
                StoredModel.from_store(self.forecaster_model),
                StoredModel.from_store(self.snapshot_model),
            )
        )

    async def __is_ready__(self) -> bool:
        """Tell BentoML's /readyz whether requests can be answered."""
        return loader.is_ready


# The decorator has made a Service of the class.
StockVolume.add_asgi_middleware(Surface)  # type: ignore[attr-defined]
