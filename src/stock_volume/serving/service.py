"""The BentoML service."""

from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.models import BentoModel
from fastapi import Query

from stock_volume.serving.app import Problem, VolumeEstimate, create_app
from stock_volume.serving.estimate import VolumeEstimator
from stock_volume.stored_model import ESTIMATOR_FILE, ESTIMATOR_NAME

NotNegative = Annotated[float, Query(ge=0, allow_inf_nan=False)]

app = create_app()


@bentoml.service(name="stock_volume")
@bentoml.asgi_app(app)
class StockVolume:
    """Answers estimates of daily trading volume."""

    estimator_model = BentoModel(f"{ESTIMATOR_NAME}:latest")

    def __init__(self) -> None:
        """Load the model that the Bento carries or, outside one, the store's latest."""
        self._estimate = VolumeEstimator(Path(self.estimator_model.path_of(ESTIMATOR_FILE)))
        self._model = str(self.estimator_model.tag)

    @app.get("/predict", responses={422: {"model": Problem}})
    async def predict(
        self, vol_moving_avg: NotNegative, adj_close_rolling_med: NotNegative
    ) -> VolumeEstimate:
        """Estimate a day's volume from the two averages that end on it."""
        volume = self._estimate(vol_moving_avg, adj_close_rolling_med)
        return VolumeEstimate(volume=volume, model=self._model)
