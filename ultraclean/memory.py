"""The most memory that a unit of work has held, as the kernel counts it."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """Returns to the system what ended work has freed: allocators keep hundreds of MiB of it."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak() -> None:
    """Sets the kernel's high-water mark of this process to its present size."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass  # not Linux, or not allowed: the peak is then the process's, not the unit's


def peak_bytes() -> int:
    """The largest resident size since `reset_peak`, in bytes; 0 where it cannot be read."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return 0
