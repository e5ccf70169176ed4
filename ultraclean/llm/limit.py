"""How many requests to have at a server at once: as many as still raise its throughput.

A window is as many answers as there may be requests at once. While a doubling of the limit gives
more work per second, it is doubled again; when it no longer does, the limit stays, with a probe a
quarter higher now and then because prompts change. Overload (429, 503, a time-out) takes the limit
down to seven tenths. A little too many is harmless, since servers queue; too few leave it idle.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

GAIN: Final = 1.05
WINDOWS_BETWEEN_PROBES: Final = 16


class Limit:
    """An asyncio semaphore whose size adapts. `work` is what is maximised: tokens."""

    def __init__(
        self,
        start: int = 64,
        maximum: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.maximum = maximum
        self.size = min(start, maximum)
        self.active = 0
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._rising = True
        self._best = 0.0
        self._before_probe = self.size
        self._windows = 0
        self._pressed_at = -1e9
        self._full = True
        self._open_window()

    async def acquire(self) -> None:
        if self.active < self.size and not self._waiting:
            self.active += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()
            raise

    def done(self, work: float) -> None:
        """A request ended well and has given so much work."""
        self._work += work
        self._n_done += 1
        self._full = self._full and bool(self._waiting)
        if self._n_done >= max(self.size, 8):
            self._close_window()
        self._leave()

    def failed(self) -> None:
        """A request ended without work, but not because there were too many."""
        self._leave()

    def pressed(self) -> None:
        """The server says, or shows, that it has too much to do."""
        now = self._clock()
        if now - self._pressed_at > 1.0:  # one burst of refusals is one sign
            self.size = max(1, int(self.size * 0.7))
            self._pressed_at = now
            self._rising = False
            self._open_window()
        self._leave()

    def _leave(self) -> None:
        self.active -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.active < self.size:
            place = self._waiting.popleft()
            if not place.done():
                self.active += 1
                place.set_result(None)

    def _open_window(self) -> None:
        self._started = self._clock()
        self._work = 0.0
        self._n_done = 0
        self._full = True

    def _close_window(self) -> None:
        rate = self._work / max(self._clock() - self._started, 1e-9)
        # A window in which nobody waited says nothing about what more requests would have given.
        if self._full:
            self._windows += 1
            if self._rising:
                self._rise(rate)
            elif self._windows >= WINDOWS_BETWEEN_PROBES:
                self._windows = 0
                self._best = rate
                self._before_probe = self.size
                self.size = min(self.maximum, max(self.size + 1, self.size * 5 // 4))
                self._rising = self.size > self._before_probe
        self._open_window()

    def _rise(self, rate: float) -> None:
        if rate > GAIN * self._best:
            self._best = rate
            self._before_probe = self.size
            self.size = min(self.maximum, self.size * 2)
            self._rising = self.size > self._before_probe
            return
        self.size = self._before_probe
        self._rising = False
        self._windows = 0
