"""Progress of a run: one line per segment on a terminal, a log line per 10 s elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

EVERY_S = 10.0


class Progress:
    """Counts of one segment as its units finish."""

    def __init__(self, name: str, n_units: int, n_reused: int, stream: TextIO | None) -> None:
        self.name, self.n_units, self.n_done = name, n_units, n_reused
        self.n_in = self.n_out = self.n_bytes = 0
        self.n_new = 0
        self.stream = stream
        self.started = time.monotonic()
        self._shown = 0.0

    def add(self, n_in: int, n_out: int, n_bytes: int) -> None:
        self.n_done += 1
        self.n_new += 1
        self.n_in += n_in
        self.n_out += n_out
        self.n_bytes += n_bytes
        self._show()

    def end(self) -> None:
        self._show(last=True)

    def line(self) -> str:
        seconds = max(time.monotonic() - self.started, 1e-3)
        parts = [f"{self.name:<32} {self.n_done}/{self.n_units} units"]
        if self.n_new == 0:
            return parts[0] + "  reused"
        parts.append(f"{self.n_in / seconds:,.0f} docs/s")
        if self.n_bytes:
            parts.append(f"{self.n_bytes / seconds / 1e6:,.1f} MB/s")
        if self.n_in:
            parts.append(f"kept {self.n_out / self.n_in:.1%}")
        left = self.n_units - self.n_done
        if left:
            parts.append(f"ETA {duration(left * seconds / self.n_new)}")
        else:
            parts.append(f"in {duration(seconds)}")
        return "  ".join(parts)

    def _show(self, last: bool = False) -> None:
        if self.stream is None:
            return
        now = time.monotonic()
        terminal = self.stream.isatty()
        if terminal:
            self.stream.write(f"\r\x1b[K{self.line()}" + ("\n" if last else ""))
            self.stream.flush()
        elif last or now - max(self._shown, self.started) >= EVERY_S:
            self._shown = now
            self.stream.write(f"{time.strftime('%H:%M:%S')} {self.line()}\n")
            self.stream.flush()


def standard() -> TextIO:
    return sys.stderr


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
