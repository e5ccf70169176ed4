"""An open teacher: engine, cache and meter behind `generate(requests) -> responses`."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from ultraclean.llm.answers import checked
from ultraclean.llm.cache import Cache, current_folder
from ultraclean.llm.meter import Meter
from ultraclean.llm.protocol import Request, Response, TeacherError

__all__ = ["Engine", "OpenTeacher", "TeacherError"]


T = TypeVar("T")


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
        self._caches: dict[str, Cache] = {}

    def generate(self, requests: Sequence[Request]) -> list[Response]:
        """One response per request, in order. TeacherError only if none can be had at all."""
        folder = current_folder()
        cache = None if folder is None else self._cache(folder)
        keys = [request.key(self.model) for request in requests]
        found = self._kept(cache, dict(zip(keys, requests, strict=True)))
        missing = {
            key: request for key, request in zip(keys, requests, strict=True) if key not in found
        }
        if missing:
            found |= self._run(self._ask_all(missing, cache))
        responses = []
        for key in keys:
            response = found[key]
            if response.cached:
                self.meter.add(response)  # an answer that was paid for is counted when it comes
            responses.append(response)
            found[key] = dataclasses.replace(response, cached=True)  # the same again is free
        return responses

    def _kept(self, cache: Cache | None, requests: dict[str, Request]) -> dict[str, Response]:
        if cache is None:
            return {}
        found = {key: cache.get(key) for key in requests}
        if None in found.values():
            cache.refresh()  # another worker may have asked meanwhile
            found = {key: kept or cache.get(key) for key, kept in found.items()}
        return {
            key: checked(kept, requests[key]) for key, kept in found.items() if kept is not None
        }

    async def _ask_all(
        self, requests: dict[str, Request], cache: Cache | None
    ) -> dict[str, Response]:
        await self._ready()
        tasks = {
            key: asyncio.ensure_future(self._ask(key, request, cache))
            for key, request in requests.items()
        }
        try:
            answers = await asyncio.gather(*tasks.values())
        except BaseException:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            raise
        return dict(zip(tasks, answers, strict=True))

    async def _ask(self, key: str, request: Request, cache: Cache | None) -> Response:
        if self.max_cost is not None and self.meter.cost >= self.max_cost:
            raise TeacherError(
                f"the teacher has cost {self.meter.cost:.4g}, max_cost is {self.max_cost:g}; "
                "raise it and run again: answers that came are kept"
            )
        response = await self.engine.ask(request)
        self.meter.add(response)
        if cache is not None and response.samples:
            cache.put(key, self.model, response)
        return response

    async def _ready(self) -> None:
        """Starts the engine once; a failed start is tried again by the next call."""
        if self._started is None or (self._started.done() and self._started.exception()):
            self._started = asyncio.ensure_future(self.engine.start())
        await asyncio.shield(self._started)

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
