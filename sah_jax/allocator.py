"""What the C library does with memory that is freed.

XLA:CPU takes the scratch of each run of an executable in one piece and frees it afterwards. The
GNU C library gives so large a piece back to the system, which then hands it out zeroed, page by
page, again at every run: of a training step of a tiny model that was 40 % of the time.
"""

import ctypes
import os
import sys

# Of malloc.h: what `mallopt` sets.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8

_KEPT_BYTES = (1 << 31) - 1  # the most that it takes


def keep_freed_memory() -> bool:
    """Makes this process use freed memory again; returns whether that could be set.

    Up to 2 GB that are free at the end of the heap are kept. Only the GNU C library on Linux has
    these settings; whoever sets its own (`GLIBC_TUNABLES`, `MALLOC_*`) or another allocator keeps it.
    """
    chosen = [name for name in os.environ if name.startswith("MALLOC_")]
    if chosen or "GLIBC_TUNABLES" in os.environ or "LD_PRELOAD" in os.environ:
        return False
    if not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # All from one heap that grows and shrinks: threads of XLA would each begin one of their own,
    # which large pieces do not fit in.
    return bool(mallopt(_ARENA_MAX, 1) and mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
