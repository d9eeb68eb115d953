"""The forecaster of the next session's volume, with its uncertainty and its log."""
