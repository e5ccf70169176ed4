"""Runs units on Ray Core: tasks for plain stages, an actor pool for stages that hold a model.

Ray's own retries are off, so that every attempt is counted here, the same for tasks and actors.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ultraclean.errors import StageError
from ultraclean.executors.base import TRIES
from ultraclean.stage import Resources

# One unit is one thread; libraries that start their own would fight over the cores.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Python's allocator returns freed memory sooner, which keeps a long-lived worker flat.
    "MALLOC_TRIM_THRESHOLD_": "134217728",
}


class RayExecutor:
    """A local Ray started here, or the cluster at `address` (`HOST:PORT`, `auto`, `local`)."""

    name = "ray"

    def __init__(self, address: str = "local", **options: Any) -> None:
        import ray

        self._ray: Any = ray
        self._alone = address == "local"
        self._started = not ray.is_initialized()
        if self._started:
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
            # It warns that a token guards the cluster, which is as it should be.
            quiet = logging.getLogger("ray._private.authentication.authentication_token_setup")
            quiet.setLevel(logging.ERROR)
            if address == "local":
                options.setdefault("include_dashboard", False)
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.WARNING,
                runtime_env={"env_vars": WORKER_ENVIRONMENT},
                **options,
            )

    @property
    def slots(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        resources: Resources = Resources(),  # noqa: B008 - a frozen value
    ) -> Iterator[tuple[int, Any]]:
        if not items:
            return
        resources = self._settled(resources)
        self._check_gpus(resources)
        pool = _Actors if resources.model or resources.gpus else _Tasks
        workers = pool(self._ray, function, resources, min(len(items), self._most(resources)))
        try:
            yield from self._drive(workers, items, resources)
        finally:
            workers.close()

    def _drive(
        self, workers: _Tasks | _Actors, items: Sequence[Any], resources: Resources
    ) -> Iterator[tuple[int, Any]]:
        ray = self._ray
        waiting = deque((index, 1) for index in range(len(items)))
        flying: dict[Any, tuple[int, int]] = {}
        while waiting or flying:
            # Two per slot: a finished worker finds its next item there.
            while waiting and len(flying) < 2 * self._most(resources) and workers.free():
                index, attempt = waiting.popleft()
                flying[workers.submit(items[index])] = (index, attempt)
            done, _ = ray.wait(list(flying), num_returns=1, timeout=10.0)
            for reference in done:
                index, attempt = flying.pop(reference)
                try:
                    result = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                except ray.exceptions.RayError as error:
                    workers.lost(reference)
                    if attempt >= TRIES:
                        message = f"item {index} lost its worker {attempt} times: {error}"
                        raise StageError(message) from None
                    waiting.appendleft((index, attempt + 1))
                    continue
                workers.done(reference)
                yield index, result

    def _settled(self, resources: Resources) -> Resources:
        """What is asked for here: spare GPUs only where there are enough for one worker."""
        spare = resources.spare_gpus
        if spare and self._ray.cluster_resources().get("GPU", 0) >= spare:
            return replace(resources, gpus=max(resources.gpus, spare))
        return resources

    def _check_gpus(self, resources: Resources) -> None:
        """Says so where Ray would wait in silence, perhaps for ever, for GPUs that no node has."""
        here = max((node["Resources"].get("GPU", 0) for node in self._ray.nodes()), default=0)
        if resources.gpus <= here:
            return
        message = f"a worker needs {resources.gpus:g} GPU, and no node has more than {here:g}"
        if self._alone:
            raise StageError(
                f"{message}: run on a cluster that has, or set the stage's device: cpu"
            )
        print(f"{message}: waiting for a node that has", file=sys.stderr)

    def _most(self, resources: Resources) -> int:
        total = self._ray.cluster_resources()
        most = total.get("CPU", 1) / max(resources.cpus, 0.01)
        if resources.gpus:
            most = min(most, total.get("GPU", 0) / resources.gpus)
        return max(1, int(most))

    def close(self) -> None:
        if self._started:
            self._ray.shutdown()


class _Tasks:
    """Stateless: Ray keeps the worker processes, and `unit.open_chain` their models."""

    def __init__(
        self, ray: Any, function: Callable[[Any], Any], resources: Resources, n_workers: int
    ) -> None:
        self._remote = ray.remote(_call).options(
            num_cpus=resources.cpus, max_retries=0, scheduling_strategy="SPREAD"
        )
        self._function = ray.put(function)

    def free(self) -> bool:
        return True

    def submit(self, item: Any) -> Any:
        return self._remote.remote(self._function, item)

    def done(self, reference: Any) -> None:
        pass

    lost = done

    def close(self) -> None:
        pass


class _Actors:
    """Workers that stay alive and hold what the function loads; a dead one is replaced."""

    def __init__(
        self, ray: Any, function: Callable[[Any], Any], resources: Resources, n_workers: int
    ) -> None:
        self._ray = ray
        self._function = ray.put(function)
        self._make = (
            ray.remote(_Worker)
            .options(num_cpus=resources.cpus, num_gpus=resources.gpus, max_restarts=0)
            .remote
        )
        self._idle = [self._make() for _ in range(n_workers)]
        self._busy: dict[Any, Any] = {}

    def free(self) -> bool:
        return bool(self._idle)

    def submit(self, item: Any) -> Any:
        worker = self._idle.pop()
        reference = worker.call.remote(self._function, item)
        self._busy[reference] = worker
        return reference

    def done(self, reference: Any) -> None:
        self._idle.append(self._busy.pop(reference))

    def lost(self, reference: Any) -> None:
        with contextlib.suppress(Exception):
            self._ray.kill(self._busy.pop(reference))
        self._idle.append(self._make())

    def close(self) -> None:
        for worker in (*self._idle, *self._busy.values()):
            self._ray.kill(worker)


class _Worker:
    def call(self, function: Callable[[Any], Any], item: Any) -> Any:
        return function(item)


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)
