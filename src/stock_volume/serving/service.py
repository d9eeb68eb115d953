"""The BentoML service."""

from typing import Any, Final

import bentoml
from anyio.to_thread import current_default_thread_limiter
from bentoml.images import Image

from stock_volume.serving.app import create_app
from stock_volume.serving.listening import check_address
from stock_volume.serving.loading import LoadedModels, ModelLoader
from stock_volume.serving.middleware import MAX_SECONDS, ServiceMiddleware
from stock_volume.serving.pinned import BENTO_NAME, bento_to_serve, check_pinned, pinned_models

MAX_THREADS: Final = 2
"""Threads that answer requests beside the event loop; by default, anyio starts 40.

The loop releases the interpreter whenever it uses a socket, and then waits for its turn among the
threads that compute: with many of them, health checks take seconds.
"""

loader: Final = ModelLoader()
app: Final = create_app(loader)


# Without a distro BentoML adds neither compilers nor git, a third of the image; LightGBM asks for
# the threads of libgomp1.
IMAGE: Final = Image(base_image="python:3.11-slim", distro="none").run(
    "apt-get update && apt-get install -q -y --no-install-recommends libgomp1 "
    "&& rm -rf /var/lib/apt/lists/*"
)


# BentoML's own counters keep one series for each path ever asked for, without bound, and with
# its access log and traces cost more than the answers: ServiceMiddleware counts by route instead.
@bentoml.service(
    name=BENTO_NAME,
    image=IMAGE,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
    # It has no off. ServiceMiddleware answers sooner, and in the shape of all errors.
    traffic={"timeout": MAX_SECONDS + 2},
)
@bentoml.asgi_app(app)
class StockVolume:
    """Forecasts and estimates of daily trading volume."""

    def __init__(self) -> None:
        """Begin to load the models that the Bento pins."""
        current_default_thread_limiter().total_tokens = MAX_THREADS
        loader.start(lambda: LoadedModels.of(*pinned_models(_bento())))

    @bentoml.on_deployment  # type: ignore[untyped-decorator]  # it has no types
    @staticmethod
    def check() -> None:
        """End `bentoml serve` with one line, before it starts workers that cannot answer."""
        check_pinned(_bento())
        check_address()

    async def __is_ready__(self) -> bool:
        """Return whether requests can be answered, for BentoML's /readyz."""
        return loader.is_ready


def _bento() -> bentoml.Bento:
    # BentoML has the Bento's tag at hand in every process, and none where the project is served.
    served: bentoml.Service[Any] = StockVolume
    return bento_to_serve(served.bento)


# The decorator has made a Service of the class.
StockVolume.add_asgi_middleware(ServiceMiddleware)  # type: ignore[attr-defined]
