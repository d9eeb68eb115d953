"""What every unit test needs: no tracking, and loggers that pass records on."""

import logging
import os

import pytest

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")


@pytest.fixture(autouse=True)
def enabled_loggers() -> None:
    """Enable the package's loggers, which commands of BentoML disable for the whole process."""
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.partition(".")[0] == "stock_volume":
            logger.disabled = False
