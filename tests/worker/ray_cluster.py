"""A Ray cluster of several nodes within this machine, as a process: `python -m tests.worker.ray_cluster NODES CPUS`.

It prints the cluster's address once it is up, then the process id of each node's raylet; `kill N` on its input kills a
node; it ends with its input.
"""

from __future__ import annotations

import json
import sys


def main(nodes: int, cpus: int) -> None:
    from ray.cluster_utils import Cluster

    size = {"num_cpus": cpus, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    try:
        known = [cluster.head_node, *(cluster.add_node(wait=False, **size) for _ in range(nodes - 1))]
        cluster.wait_for_nodes()
        print(json.dumps({"address": cluster.address}), flush=True)
        for line in sys.stdin:
            word, number = line.split()
            assert word == "kill"
            cluster.remove_node(known[int(number)], allow_graceful=False)
            print(json.dumps({"killed": int(number)}), flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
