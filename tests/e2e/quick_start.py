"""Preloaded by Dask nannies: a worker that was killed starts again in a second.

Nannies fork workers from a server process. Dask chooses what it imports; here it imports what
tasks need, too.
"""

import multiprocessing

import distributed.utils

NEEDED = ["distributed", "stock_volume.schemas", "stock_volume.datasets.parts"]

multiprocessing.get_context("forkserver").set_forkserver_preload(NEEDED)
distributed.utils._forkserver_preload_set = True  # noqa: SLF001
