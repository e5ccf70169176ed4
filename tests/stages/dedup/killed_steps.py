"""`dedup.minhash` on two Ray nodes of this machine, with workers or a node killed in chosen steps.

python killed_steps.py FOLDER

FOLDER has old.parquet and new.parquet. Both are run in one process first (old/, whole/, the second against
the first). Each line of the input is then one more run of the second: `OUT worker|node STEP...` kills
the first worker that is about to put the record of a task of each STEP, its data written, or the node that it is on.
The answer is a line `struck STEP...`, among those that the run prints.
"""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import ray
from ray.cluster_utils import Cluster

from ultraclean import Pipeline, read, storage, unit, write
from ultraclean.engine import run
from ultraclean.executors.ray import RayExecutor
from ultraclean.stage import Resources
from ultraclean.stages.dedup.minhash import Minhash


def pipeline(folder: Path, name: str, against: tuple[str, ...] = ()) -> Pipeline:
    # A task of 32 KiB: every step has several tasks, components have blocks, settling has rounds.
    stage = Minhash(verify=0.7, index="full", against=against, memory_bytes=2**15)
    source = read.Parquet(path=str(folder / f"{name}.parquet"))
    return Pipeline(name="faults", shard_bytes=20_000, stages=[source, stage, write.Parquet()])


def step_of(item: Any) -> str:
    """The step of a task or unit, without the numbers of rounds and components."""
    if isinstance(item, unit.SketchUnit):
        return "sketch"
    if isinstance(item, unit.SinkUnit):
        return "write"
    if isinstance(item, unit.RowsUnit):
        return "read" if item.verdicts is None else "apply"
    if not isinstance(item, tuple):
        return ""  # copies of what is shown
    return kind(re.sub(r"-[0-9a-f]{12}-\d{5}$", "", Path(item[1]).name))


def kind(step: str) -> str:
    return re.sub(r"-\d+", "", step)


def die(*_: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes on")


def struck(
    function: Callable[[Any], Any],
    item: Any,
    *,
    steps: tuple[str, ...],
    folder: str,
    whole_node: bool,
) -> Any:
    """`function(item)` on a worker; the first one in each of `steps` never ends."""
    step = step_of(item)
    if step in steps:
        try:
            with Path(folder, step).open("x") as mark:
                mark.write(ray.get_runtime_context().get_node_id())
        except FileExistsError:
            return function(item)
        if whole_node:
            time.sleep(600)  # the driver sees the mark, and kills the node
        storage.write_json = die
    return function(item)


class Killing(RayExecutor):
    def __init__(
        self, address: str, steps: tuple[str, ...], folder: Path, whole_node: bool
    ) -> None:
        super().__init__(address)
        self.told = {"steps": steps, "folder": str(folder), "whole_node": whole_node}

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        resources: Resources = Resources(),  # noqa: B008 - a frozen value
    ) -> Iterator[tuple[int, Any]]:
        return super().map(functools.partial(struck, function, **self.told), items, resources)


def card_of(finished: Any) -> dict[str, Any]:
    card = dict(next(d.card for d in finished.done.values() if d.segment.kind == "barrier"))
    work = card.pop("work")
    card["index"] = {name: value for name, value in card["index"].items() if name != "folder"}
    card["steps"] = [[step["step"], step["tasks"], step["rows"]] for step in work.pop("steps")]
    return card | work


def main(folder: Path) -> None:
    run(pipeline(folder, "old"), str(folder / "old"), address="inline")
    new = pipeline(folder, "new", (str(folder / "old"),))
    whole = card_of(run(new, str(folder / "whole"), address="inline"))
    (folder / "whole" / "card.json").write_text(json.dumps(whole))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    print("ready", flush=True)
    for line in sys.stdin:
        name, what, *steps = line.split()
        marks = folder / f"marks-{name}"
        marks.mkdir()
        whole_node = what == "node"
        killer = threading.Thread(target=kill, args=(cluster, marks), daemon=True)
        if whole_node:
            killer.start()
        executor = Killing(cluster.address, tuple(steps), marks, whole_node)
        finished = run(new, str(folder / name), executor=executor)
        (folder / name / "card.json").write_text(json.dumps(card_of(finished)))
        if whole_node:
            cluster.add_node(num_cpus=1)
            cluster.wait_for_nodes()
        print("struck", *sorted(mark.name for mark in marks.iterdir()), flush=True)
    ray.shutdown()
    cluster.shutdown()


def kill(cluster: Cluster, marks: Path) -> None:
    """Waits for a mark that names a node, and kills that."""
    while not (names := [mark.read_text() for mark in marks.iterdir()]) or not names[0]:
        time.sleep(0.05)
    victim = next(node for node in cluster.worker_nodes if node.node_id == names[0])
    cluster.remove_node(victim, allow_graceful=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
