"""``jobs = "auto"``: how many builds this machine bears at once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_MOST = 16
_BYTES_OF_MEMORY = 1_500_000_000
"""What one build is reckoned with: an agent (up to 0.5 GB resident) and the tests that it runs."""
_BYTES_OF_DISK = 1_000_000_000
_LEFT_FREE_BYTES = 1_000_000_000


def here() -> int:
    """The number for this machine, as it is now, and the disk of the current directory."""
    return decided(os.cpu_count() or 1, _free_memory(), shutil.disk_usage(Path.cwd()).free)


def decided(cores: int, memory_bytes: int, disk_bytes: int) -> int:
    """Two builds a core, since agents mostly wait for their API; as far as memory and disk go; at least one."""
    by_memory = memory_bytes // _BYTES_OF_MEMORY
    by_disk = (disk_bytes - _LEFT_FREE_BYTES) // _BYTES_OF_DISK
    return max(1, min(2 * cores, by_memory, by_disk, _MOST))


def _free_memory() -> int:
    """Bytes that can be had without swapping; half of all where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
