"""An open teacher: engine, cache and meter behind `generate(requests) -> responses`."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Coroutine, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias, TypeVar

from ultraclean.llm.answers import checked
from ultraclean.llm.cache import Cache, current_folder
from ultraclean.llm.meter import Meter
from ultraclean.llm.protocol import Request, Response, TeacherError

__all__ = ["Engine", "OpenTeacher", "Play", "TeacherError"]

T = TypeVar("T")
Play: TypeAlias = Generator[Sequence[Request], list[Response], T]
"""`responses = yield [request, ...]` asks; what it returns is the result."""


class Engine(Protocol):
    """What an engine does, in the event loop of its open teacher."""

    async def start(self) -> None:
        """Makes ready; TeacherError if no request can succeed."""

    async def ask(self, request: Request) -> Response:
        """One answer. Only what concerns all requests is an exception."""

    async def close(self) -> None: ...


class OpenTeacher:
    """Asks many questions at once. Threads may share it; equal questions are asked once.

    Responses are kept in the folder that `responses_in` names around the call, if any.
    """

    def __init__(
        self,
        engine: Engine,
        model: str,
        *,
        prices: tuple[float, float] = (0.0, 0.0),
        max_cost: float | None = None,
    ) -> None:
        self.engine, self.model, self.max_cost = engine, model, max_cost
        self.meter = Meter(*prices)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._started: asyncio.Task[None] | None = None
        self._up = False
        self._caches: dict[str, Cache] = {}
        self._asking: dict[tuple[str, Cache | None], asyncio.Task[Response]] = {}

    def generate(self, requests: Sequence[Request]) -> list[Response]:
        """One response per request, in order. TeacherError only if none can be had at all."""
        folder = current_folder()
        cache = None if folder is None else self._cache(folder)
        return self._run(self._answers(requests, cache))

    def play(self, plays: Sequence[Play[T]], n_threads: int = 4) -> list[T]:
        """Plays many dialogues with the teacher at once; what each returns, in order.

        A play is a generator that yields requests and is sent their responses. Each goes on as soon
        as its own answers are there, whatever the others wait for, so that the server stays full.
        What it does between its questions (checks, programs in a sandbox) runs in threads.
        """
        folder = current_folder()
        cache = None if folder is None else self._cache(folder)
        with ThreadPoolExecutor(n_threads, "play") as threads:
            return self._run(self._together(plays, cache, threads))

    async def _together(
        self, plays: Sequence[Play[T]], cache: Cache | None, threads: ThreadPoolExecutor
    ) -> list[T]:
        loop = asyncio.get_running_loop()

        async def one(play: Play[T]) -> T:
            answers: list[Response] | None = None
            while True:
                turn = await loop.run_in_executor(threads, _next, play, answers)
                if isinstance(turn, _Ended):
                    return turn.value  # type: ignore[no-any-return]
                answers = await self._answers(turn, cache)

        return await _all([one(play) for play in plays])

    async def _answers(self, requests: Sequence[Request], cache: Cache | None) -> list[Response]:
        return await _all([self._answer(request, cache) for request in requests])

    async def _answer(self, request: Request, cache: Cache | None) -> Response:
        """The kept answer; or that of an equal question which is under way; or a new one."""
        key = request.key(self.model)
        kept = None if cache is None else cache.find(key)
        if kept is not None:
            response = checked(kept, request)
            self.meter.add(response)
            return response
        under_way = self._asking.get((key, cache))
        if under_way is None:
            under_way = asyncio.ensure_future(self._ask(key, request, cache))
            self._asking[key, cache] = under_way
            under_way.add_done_callback(lambda _: self._asking.pop((key, cache)))
            return await under_way
        response = dataclasses.replace(await asyncio.shield(under_way), cached=True)
        self.meter.add(response)  # the same again is free
        return response

    async def _ask(self, key: str, request: Request, cache: Cache | None) -> Response:
        await self._ready()
        self._check_budget(cache)
        response = await self.engine.ask(request)
        self.meter.add(response)
        if cache is not None and response.samples:
            cache.put(key, self.model, response)
        return response

    def _check_budget(self, cache: Cache | None) -> None:
        """Of the run, where it keeps its responses: all workers, this time and before."""
        if self.max_cost is None:
            return
        cost = self.meter.cost
        if cache is not None:
            cache.refresh()
            cost = self.meter.cost_of(*cache.spent(self.model))
        if cost >= self.max_cost:
            raise TeacherError(
                f"the teacher has cost {cost:.4g}, max_cost is {self.max_cost:g}; "
                "raise it and run again: answers that came are kept"
            )

    async def _ready(self) -> None:
        """Starts the engine once; a failed start is tried again by the next call."""
        if self._up:
            return
        if self._started is None or (self._started.done() and self._started.exception()):
            self._started = asyncio.ensure_future(self.engine.start())
        await asyncio.shield(self._started)
        self._up = True

    def _cache(self, folder: str) -> Cache:
        with self._lock:
            if folder not in self._caches:
                self._caches[folder] = Cache(folder)
            return self._caches[folder]

    # --- the loop -------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the teacher's own thread, whatever loop the caller may have."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="teacher", daemon=True
                )
                self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Ends servers and connections, and puts what a remote cache still holds."""
        for cache in self._caches.values():
            cache.close()
        self._caches.clear()
        self._run(self.engine.close())
        assert self._loop is not None and self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = self._started = None
        self._up = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Ended:
    """What a play returned: StopIteration cannot leave a thread of an executor."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _next(play: Play[Any], answers: list[Response] | None) -> Sequence[Request] | _Ended:
    try:
        return next(play) if answers is None else play.send(answers)
    except StopIteration as stop:
        return _Ended(stop.value)


async def _all(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results; at the first error the others are cancelled and awaited."""
    if len(work) == 1:
        return [await work[0]]
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
