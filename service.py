"""What BentoML serves: the service of the package, wherever the package is."""

import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "src"
"""In a Bento the package is not installed, its sources are copied."""

sys.path.insert(0, str(SOURCES))
# BentoML tries `stock_volume:latest` as an import first, and so finds an installed package.
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] == "stock_volume":
        where = getattr(module, "__file__", None)
        if where is None or not Path(where).resolve().is_relative_to(SOURCES):
            del sys.modules[name]

from stock_volume.serving.service import StockVolume  # noqa: E402  # now it is the right one

__all__ = ["StockVolume"]
