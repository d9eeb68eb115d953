"""The original's server, reimplemented: Flask, and an LGBMRegressor from a joblib file."""

import os

import joblib
import pandas as pd
from flask import Flask, request

app = Flask(__name__)
model = joblib.load(os.environ["JOBLIB_FILE"])


@app.get("/predict")
def predict() -> str:
    """Estimate a volume."""
    names = ("vol_moving_avg", "adj_close_rolling_med")
    inputs = pd.DataFrame([{name: float(request.args[name]) for name in names}])
    return str(int(model.predict(inputs)[0]))
