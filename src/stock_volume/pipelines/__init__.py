"""Kedro pipelines; their nodes wire the functions of the domain packages."""
