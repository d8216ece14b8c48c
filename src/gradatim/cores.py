"""How many cores this process may keep busy, which in a container is not how many there are."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def num_usable_cores(
    groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> int:
    """Cores this process may keep busy: those it may run on, within its container's quota.

    A quota of a core and a half counts as one: threads that wait for each other lose more by being
    held up than half a core gives.

    Args:
        groups: where the kernel lists the control groups of this process (version 1 and 2).
        mounted: where their settings lie.
    """
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    quotas = _quotas_cores(groups, mounted)
    return max(1, math.floor(min(num_cores or os.cpu_count() or 1, *quotas, math.inf)))


def _quotas_cores(groups: Path, mounted: Path) -> Iterator[float]:
    """The quota of every group this process is in, and of those around them; infinite for none."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:  # not Linux
        return
    for _number, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and "cpu" not in controllers.split(","):
            continue
        # In a container the path may be the host's, and the mounted root the container's own group.
        innermost = PurePosixPath(path.lstrip("/"))
        for group in (innermost, *innermost.parents):
            yield _quota_cores(mounted / controllers / group, is_version_2=not controllers)


def _quota_cores(group: Path, *, is_version_2: bool) -> float:
    names = ["cpu.max"] if is_version_2 else ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
    try:
        quota, period = " ".join((group / name).read_text() for name in names).split()
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # no such group here, or `max`: no quota
        return math.inf
