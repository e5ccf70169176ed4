"""Runs a pipeline on a Ray cluster of two nodes and kills one in the middle.

python two_nodes.py PIPELINE OUT
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from ray.cluster_utils import Cluster

from ultraclean import Pipeline
from ultraclean.engine import run


def main(pipeline: str, out: str) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    victim = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()

    def kill() -> None:
        ledger = Path(out, "ledger")
        while len(list(ledger.rglob("0*.json"))) < 3:
            time.sleep(0.01)
        cluster.remove_node(victim, allow_graceful=False)
        print("killed a node", flush=True)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    run(Pipeline.load(pipeline), out, address=cluster.address)
    killer.join(timeout=60)
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
