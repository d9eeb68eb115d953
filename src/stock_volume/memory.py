"""How much memory this process can still use."""

import logging
from pathlib import Path
from typing import Final

import psutil

logger = logging.getLogger(__name__)

MIB: Final = 2**20

_CGROUPS: Final = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
"""Limit and use of a container's memory: cgroup version 2, then version 1."""


def available_memory() -> int:
    """Measure how much memory this process can still use.

    Returns:
        Bytes: the least of what the machine has free, what the container may use and what the
        process may map (``ulimit -v``).
    """
    limits: list[int] = [psutil.virtual_memory().available]
    limits += [left for left in map(_left_in_cgroup, *zip(*_CGROUPS, strict=True)) if left]
    return min([*limits, *_left_to_map()])


def _left_in_cgroup(limit: str, used: str) -> int | None:
    try:
        return int(Path(limit).read_text("ascii")) - int(Path(used).read_text("ascii"))
    except (OSError, ValueError):  # not in such a container, or `max`: no limit
        return None


def _left_to_map() -> list[int]:
    try:
        import resource
    except ImportError:  # Windows
        return []
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [] if limit == resource.RLIM_INFINITY else [limit - psutil.Process().memory_info().vms]


def warn_if_short(needed: int, what: str, remedy: str) -> None:
    """Warn before work that may need more memory than there is.

    Args:
        needed: Bytes that the work needs, as estimated.
        what: What the work is.
        remedy: What the user can change.
    """
    available = available_memory()
    if needed > available:
        logger.warning(
            "%s needs about %d MiB of memory, and %d MiB are available: %s",
            what,
            needed // MIB,
            available // MIB,
            remedy,
        )
