"""The forecaster: the next session's volume, with its uncertainty and its record."""
