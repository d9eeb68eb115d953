"""Types of NumPy arrays."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

Matrix = npt.NDArray[np.floating]
"""Features, shape (n, features), in single or double precision."""
