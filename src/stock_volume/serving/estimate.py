"""The estimator as the service uses it."""

from pathlib import Path

import numpy as np
from lightgbm import Booster


class VolumeEstimator:
    """Estimates a day's volume from the two averages."""

    def __init__(self, model_file: Path) -> None:
        """Load the booster.

        Args:
            model_file: LightGBM's text format; no pickle is loaded.
        """
        self._booster = Booster(model_file=model_file)

    def __call__(self, vol_moving_avg: float, adj_close_rolling_med: float) -> int:
        """Estimate a volume.

        Args:
            vol_moving_avg: Mean volume of 30 calendar days, in shares.
            adj_close_rolling_med: Median adjusted close of the same days, in dollars.

        Returns:
            Shares, not negative.
        """
        inputs = np.array([[vol_moving_avg, adj_close_rolling_med]])
        return max(0, round(float(self._booster.predict(inputs, num_threads=1)[0])))
