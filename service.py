"""What BentoML serves: the service of the package, wherever the package is."""

import sys
from pathlib import Path

# In a Bento the package is not installed, its sources are copied.
sys.path.insert(0, str(Path(__file__).parent / "src"))

from stock_volume.serving.service import StockVolume

__all__ = ["StockVolume"]
