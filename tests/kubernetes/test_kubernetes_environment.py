"""The environment opens, keeps what a recovery needs in the cluster, and leaves nothing when the run has ended."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import CouldNotRun, StepError
from offbus.journal.events import Event
from offbus.journal.reader import read_journal
from offbus.journal.recovery_events import PersistedEvents
from offbus.journal.writer import JournalWriter
from offbus.run_origin import noted
from offbus.runner.clock import SystemClock
from offbus.runner.recorder import RunRecorder
from offbus.secret import SecretSource, read_secret, source_of
from offbus_steps.kubernetes.environment import KUBERNETES
from offbus_steps.kubernetes.open import KubernetesCluster, Opening, Ownership, cluster_identity
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.kubernetes.ownership.run_lease import LEASE
from offbus_steps.kubernetes.ownership.run_records import records_name
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.port import NotFound, Ref
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.kubernetes.lone_server import LoneServer

pytestmark = pytest.mark.anyio

Runs = Callable[..., RunRecorder]
GUARDS = ClusterGuards()
RECORD: Any = {
    "seq": 9,
    "kind": "undo_recorded",
    "data": {"undo": 1, "type": "delete_object", "describe": "delete ConfigMap/a/b", "record": {"name": "b"}},
}


@pytest.fixture(autouse=True)
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of every run here; nothing is noted in the developer's own state home."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture
def options(server: LoneServer, namespace: str) -> KubernetesOptions:
    """This test's own namespace stands for the agents'."""
    return KubernetesOptions(kubeconfig=str(server.kubeconfig("admin")), agent_namespace=namespace)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """`runs(epoch=1, run="r1", before=[])`: a run's handle, with a journal of its own."""
    writers: list[JournalWriter] = []

    def make(*, epoch: int = 1, run: str = "r1", before: Iterable[Event] = ()) -> RunRecorder:
        writers.append(JournalWriter(tmp_path / f"{run}-{epoch}.jsonl", run, SystemClock()))
        persisted = PersistedEvents(before)
        writers[-1].listen(persisted.heard)
        return RunRecorder(
            writers[-1],
            epoch,
            {},
            environment="kubernetes",
            abort=pytest.fail,
            progress=lambda _step, _text: None,
            persisted=persisted,
        )

    yield make
    for writer in writers:
        writer.close()


def opened(options: KubernetesOptions, run: RunRecorder, run_dir: str = "") -> Any:
    return KUBERNETES.opener.open(options, GUARDS, run, run_dir=run_dir)


def state_of(tmp_path: Path, name: str) -> dict[str, Any]:
    events = read_journal(tmp_path / f"{name}.jsonl").events
    return next(one["data"]["state"] for one in reversed(events) if one["kind"] == "environment_opened")


async def held(port: KubernetesPort, namespace: str) -> str:
    return (await port.objects.get(Ref("Lease", LEASE, namespace)))["spec"]["holderIdentity"].partition("@")[
        0
    ]


async def test_a_run_that_ends_clean_leaves_nothing(
    options: KubernetesOptions, runs: Runs, port: KubernetesPort, namespace: str
) -> None:
    async with opened(options, runs()) as cluster:
        assert isinstance(cluster, KubernetesCluster)
        assert await held(port, namespace) == "r1/1"
        await cluster.persist(RECORD)
        assert isinstance(await cluster.fingerprint(), dict)
        await cluster.close(finished=True)
    for ref in (Ref("Lease", LEASE, namespace), Ref("ConfigMap", records_name("r1"), namespace)):
        with pytest.raises(NotFound):
            await port.objects.get(ref)


async def test_a_run_that_leaves_something_is_taken_over(
    options: KubernetesOptions,
    runs: Runs,
    port: KubernetesPort,
    namespace: str,
    run_dir: Path,
) -> None:
    async with opened(options, runs(), str(run_dir)) as cluster:
        await cluster.persist(RECORD)
        await cluster.close(finished=False)
    with pytest.raises(CouldNotRun, match="the cluster is in use by run r1"):
        async with opened(options, runs(run="r2")):
            pytest.fail("two runs have the cluster")
    state = state_of(run_dir, "r1-1")
    async with KUBERNETES.opener.reopen(
        state, runs(epoch=2, before=[RECORD]), run_dir=str(run_dir)
    ) as cluster:
        assert await held(port, namespace) == "r1/2"
        kept = await port.objects.get(Ref("ConfigMap", records_name("r1"), namespace))
        assert "undo-00001" in kept["data"]
        assert noted(run_dir, state_of(run_dir, "r1-2")), "so the next recovery knows its owner, too"
        await cluster.close(finished=True)
    async with opened(options, runs(run="r3")) as cluster:
        await cluster.close(finished=True)


async def test_a_run_of_somebody_elses_takes_no_lease_of_its_own(
    options: KubernetesOptions,
    runs: Runs,
    port: KubernetesPort,
    namespace: str,
    agent_namespace: str,
    run_dir: Path,
) -> None:
    """Neither in a namespace that its journal chooses, nor for as long as that says."""
    state: dict[str, Any] = {
        "options": {**options.model_dump(mode="json"), "kubeconfig": "", "lease_s": 3600},
        "guards": {},
        "holder": "",
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KUBECONFIG", options.kubeconfig)
        with pytest.raises(CouldNotRun, match=namespace):
            async with KUBERNETES.opener.reopen(state, runs(epoch=2), run_dir=str(run_dir)):
                pytest.fail("it opened")
        with pytest.raises(NotFound):
            await port.objects.get(Ref("Lease", LEASE, namespace))
        state["options"]["agent_namespace"] = agent_namespace
        async with KUBERNETES.opener.reopen(state, runs(epoch=3), run_dir=str(run_dir)) as cluster:
            lease = await port.objects.get(Ref("Lease", LEASE, agent_namespace))
            assert lease["spec"]["leaseDurationSeconds"] == KubernetesOptions().lease_s
            await cluster.close(finished=True)


async def test_an_environment_that_cannot_be_opened_leaves_nothing(
    options: KubernetesOptions, runs: Runs, port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "immutable": True, "data": {"environment": "{}"}}
    meta = {"name": records_name("r1"), "namespace": namespace}
    await port.objects.create({**foreign, "metadata": meta})
    with pytest.raises(CouldNotRun, match="immutable"):
        async with opened(options, runs()):
            pytest.fail("it was opened without its records")
    with pytest.raises(NotFound):
        await port.objects.get(Ref("Lease", LEASE, namespace))
    assert residue(tmp_path) == []


async def test_what_an_unopened_environment_made_and_cannot_remove_is_residue(
    server: LoneServer, runs: Runs, port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    ownership = Ownership.of(port, KubernetesOptions(agent_namespace=namespace), runs())
    await ownership.lease.take()
    server.kill_api()
    await Opening(port, GUARDS, runs(), ownership).end_unopened()
    await anyio.to_thread.run_sync(server.start_api)
    (left,) = residue(tmp_path)
    assert left["fix"] == "offbus recover r1"
    assert await held(port, namespace) == "r1/1"
    await ownership.end()


def residue(tmp_path: Path) -> list[dict[str, Any]]:
    """What the run r1 says that it left."""
    return [e["data"] for e in read_journal(tmp_path / "r1-1.jsonl").events if e["kind"] == "residue"]


async def test_the_body_s_own_errors_come_out_as_they_are(options: KubernetesOptions, runs: Runs) -> None:
    async def break_inside() -> None:
        async with opened(options, runs()) as cluster:
            await cluster.close(finished=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await break_inside()


async def test_the_journal_names_the_credentials_and_never_holds_them(
    server: LoneServer, options: KubernetesOptions, runs: Runs, tmp_path: Path
) -> None:
    async with opened(options, runs()) as cluster:
        await cluster.close(finished=True)
    text = (tmp_path / "r1-1.jsonl").read_text()
    assert "admin.kubeconfig" in text
    assert server.tokens["admin"] not in text


async def test_a_cluster_is_known_by_its_own_uid(options: KubernetesOptions, server: LoneServer) -> None:
    identity = await cluster_identity(options)
    assert identity.startswith(f"kubernetes:{server.url}#")
    assert await anyio.to_thread.run_sync(KUBERNETES.opener.identity, options) == identity


async def test_a_cluster_that_cannot_be_reached_is_exit_3(tmp_path: Path) -> None:
    with pytest.raises(CouldNotRun, match="config"):
        await cluster_identity(KubernetesOptions(kubeconfig=str(tmp_path / "config")))


async def test_a_secret_of_the_cluster_is_an_input_that_only_its_step_reads(
    options: KubernetesOptions, runs: Runs, port: KubernetesPort, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    body = {"metadata": {"name": "model"}, "data": {"token": "aHVudGVyMg==", "bytes": "/w=="}}
    await port.api.json(Call("POST", path, body=body))
    async with opened(options, runs()) as cluster:
        source = source_of(f"from_secret:{namespace}/model/token")
        assert await read_secret("token", source, cluster) == "hunter2"
        for name, says in (
            (f"{namespace}/model/no", "has no key 'no'"),
            (f"{namespace}/model/bytes", "is no text"),
            (f"{namespace}/no/token", "cannot be read"),
            (f"{namespace}/model", "NAMESPACE/NAME/KEY"),
            (f"../{namespace}/model/token", "cannot be read"),
        ):
            with pytest.raises(StepError, match=says) as caught:
                await read_secret("token", SecretSource("from_secret", name), cluster)
            assert "hunter2" not in caught.value.message
        await cluster.close(finished=True)
