"""The two-input estimator: a day's volume from averages that contain the day."""
