"""Takes the fingerprint of a cluster, and prints how much memory that took: a process of its own, which has no other.

python -m tests.kits.kubernetes.memory_of_a_look KUBECONFIG FOLDER
"""

import json
import resource
import sys
from pathlib import Path

import anyio

from offbus.journal.writer import JournalWriter
from offbus.runner.clock import SystemClock
from offbus.runner.recorder import RunRecorder
from offbus_steps.cluster.cluster import open_cluster
from offbus_steps.kubernetes.port import open_port
from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.safety.guards import ClusterGuards


def peak() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


async def look(kubeconfig: str, folder: Path) -> None:
    """The fingerprint of a cluster that is open."""
    journal = JournalWriter(folder / "journal.jsonl", "abcd1234", SystemClock())
    run = RunRecorder(journal, 1, {}, environment="kubernetes", abort=print, progress=lambda *_: None)
    async with (
        open_port(Login(kubeconfig), qps=500, burst=1000) as port,
        open_cluster(port, run, ClusterGuards()) as cluster,
    ):
        await port.objects.list("Namespace")
        before = peak()
        items = await cluster.fingerprint()
        owners = sorted(name for name in items if name.startswith("Pods of "))
        print(json.dumps({"took": peak() - before, "owners": owners}))
    journal.close()


if __name__ == "__main__":
    anyio.run(look, sys.argv[1], Path(sys.argv[2]))
