"""Entry point for BentoML: the service of the package, in the project or in a Bento."""

import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "src"
"""A Bento contains a copy of the sources; it does not install the package."""

sys.path.insert(0, str(SOURCES))
# BentoML first tries to import `stock_volume:latest`, and thereby loads an installed package.
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] == "stock_volume":
        where = getattr(module, "__file__", None)
        if where is None or not Path(where).resolve().is_relative_to(SOURCES):
            del sys.modules[name]

from stock_volume.serving.service import StockVolume  # noqa: E402  # after the path is set

__all__ = ["StockVolume"]
