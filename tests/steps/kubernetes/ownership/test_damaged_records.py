"""Records of a run that cannot be read are told, and stop no other run's recovery."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from offbus.errors import CouldNotRun
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.kubernetes.ownership.run_records import RECORDS_LABEL
from offbus_steps.kubernetes.ownership.unfinished_runs import runs_known, unfinished_run
from offbus_steps.kubernetes.port import KubernetesPort
from tests.kits.steps.timed_port import TimedPort
from tests.kits.virtual_time import in_virtual_time

OPTIONS = KubernetesOptions(kubeconfig="/nowhere")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[KubernetesPort]:
    """A cluster with three runs' records; those of one cannot be read."""
    made = TimedPort(tmp_path)
    for run, data in (("00000000", {}), ("11111111", {"adopted": "{]"}), ("ffffffff", {})):
        labels = {RECORDS_LABEL: run}
        meta = {"name": f"offbus-run-{run}", "namespace": OPTIONS.agent_namespace, "labels": labels}
        content: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
        made.store.create(content)
    yield cast(KubernetesPort, made)
    made.store.close()


@in_virtual_time
async def test_each_run_is_read_on_its_own(port: KubernetesPort) -> None:
    found = {one.run: one.damage for one in await runs_known(port, OPTIONS)}
    assert sorted(found) == ["00000000", "11111111", "ffffffff"]
    assert "ConfigMap/offbus-system/offbus-run-11111111 are damaged" in found["11111111"]
    assert (found["00000000"], found["ffffffff"]) == ("", "")


@in_virtual_time
async def test_the_reaper_reads_the_one_that_it_finishes(port: KubernetesPort) -> None:
    assert (await unfinished_run(port, OPTIONS, "ffffffff", None)).events == ()
    with pytest.raises(CouldNotRun, match="are damaged"):
        await unfinished_run(port, OPTIONS, "11111111", None)
