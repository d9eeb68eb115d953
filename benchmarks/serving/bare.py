"""A minimal FastAPI server: one route with the same booster."""

import os

import lightgbm
import numpy as np
from fastapi import FastAPI

app = FastAPI()
booster = lightgbm.Booster(model_file=os.environ["MODEL_FILE"])


@app.get("/predict")
async def predict(vol_moving_avg: float, adj_close_rolling_med: float) -> dict[str, int]:
    """Estimate a volume."""
    inputs = np.array([[vol_moving_avg, adj_close_rolling_med]])
    return {"volume": round(float(np.asarray(booster.predict(inputs, num_threads=1))[0]))}
