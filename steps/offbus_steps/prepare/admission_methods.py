"""The two ways by admission, and which of them a cluster takes: its own admission policies first, else our webhook.

Both are asked for by dry runs of what would be created, so `plan` and `prepare_cuda` ask the same and change nothing.
Only an effect shows whether a way that is taken works: a server with the feature gate off takes policies and does
nothing, and one whose webhook is down goes on without it.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from offbus.environment import PreflightCheck
from offbus.errors import OffbusError, StepError
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.port import Conflict, Forbidden, Invalid, NotFound, Object, Ref
from offbus_steps.prepare.admission_kinds import POLICY, WEBHOOK
from offbus_steps.prepare.mutating_policy import binding_of, policy_of
from offbus_steps.prepare.webhook_configuration import CERTIFICATE, SERVICE, configuration_of
from offbus_steps.workloads.target import Target

__all__ = ["GATES", "Admitted", "Way", "Ways", "admission_checks", "ways_of"]

GATES = (
    "Kubernetes 1.34 serves policies with --feature-gates=MutatingAdmissionPolicy=true and "
    "--runtime-config=admissionregistration.k8s.io/v1beta1=true"
)
DEPLOY = "kubectl apply -k deploy/webhook"


@dataclass(frozen=True, slots=True)
class Way:
    """Objects that change pods as they are created."""

    kind: str
    objects: tuple[Object, ...]
    idle: str
    """What it means when pods come unchanged all the same."""


@dataclass(frozen=True, slots=True)
class Ways:
    """What a cluster takes, the best first, and why not the others."""

    taken: tuple[Way, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the objects of each way are made of."""

    name: str
    run: str
    target: Target
    images: Mapping[str, str]


async def ways_of(cluster: Cluster, wanted: Admitted) -> Ways:
    """Ask the cluster. Raises StepError when the credentials do not suffice, or another run's objects are there."""
    taken, missing = [], []
    for make in (_policy, _webhook):
        way = await make(cluster, wanted)
        why = way if isinstance(way, str) else await _refused(cluster, way)
        if why is None and isinstance(way, Way):
            taken.append(way)
        else:
            missing.append(str(why))
    return Ways(tuple(taken), tuple(missing))


async def _policy(cluster: Cluster, wanted: Admitted) -> Way | str:
    policy = policy_of(wanted.name, wanted.run, wanted.target, wanted.images, cluster.port.host_path)
    idle = f"the cluster took the {POLICY} and does nothing with it: its feature gate is off"
    return Way(POLICY, (policy, binding_of(wanted.name, wanted.run)), idle)


async def _webhook(cluster: Cluster, wanted: Admitted) -> Way | str:
    """The way, or why it cannot be gone."""
    namespace = cluster.port.agent_namespace
    if not namespace:
        return "offbus's webhook runs in clusters alone"
    published = Ref("ConfigMap", SERVICE, namespace)
    try:
        certificate = ((await cluster.port.objects.get(published)).get("data") or {}).get(CERTIFICATE)
    except NotFound:
        return f"offbus's webhook is not deployed in {namespace} ({DEPLOY})"
    see = f"see kubectl -n {namespace} logs deployment/{SERVICE}"
    if not certificate or not await _is_ready(cluster, namespace):
        return f"offbus's webhook is not ready: {see}"
    try:
        made = configuration_of(
            wanted.name, wanted.run, wanted.target, wanted.images, namespace, str(certificate)
        )
    except Invalid as err:
        return err.message
    return Way(WEBHOOK, (made,), f"the API server gets no answer from offbus's webhook: {see}")


async def _is_ready(cluster: Cluster, namespace: str) -> bool:
    found = (await cluster.port.objects.list("Deployment", namespace=namespace)).items
    return any(
        one["metadata"]["name"] == SERVICE and (one.get("status") or {}).get("readyReplicas") for one in found
    )


async def _refused(cluster: Cluster, way: Way) -> str | None:
    """Why the cluster would not take it; None when it would. A binding goes with its policy."""
    try:
        await cluster.port.objects.create(way.objects[0], dry_run=True)
    except (NotFound, Invalid) as err:
        return f"{way.kind} is not served here as offbus needs it: {err.message}"
    except Forbidden as err:
        raise StepError(
            f"the credentials may not create a {way.kind}: {err.message}",
            hint="bind the role offbus-runner-admission of deploy/, or use `by: patch`",
        ) from err
    except Conflict as err:
        raise StepError(f"{err.message}", hint="`offbus recover` undoes a run left over") from err
    return None


async def admission_checks(cluster: Cluster, target: Target) -> AsyncIterator[PreflightCheck]:
    """For `plan`: which way would be gone, and what the others lack."""
    try:
        ways = await ways_of(
            cluster, Admitted(f"offbus-{cluster.run.run_id}", cluster.run.run_id, target, {})
        )
    except OffbusError as err:
        yield PreflightCheck("prepare", err.message, "error", err.hint)
        return
    if ways.taken:
        kinds = [one.kind for one in ways.taken]
        last = f", and by {kinds[1]} if that shows no effect" if kinds[1:] else ""
        yield PreflightCheck("prepare", f"pods would get the shim by {kinds[0]}{last}")
    for why in ways.missing:
        yield PreflightCheck("prepare", why, "info" if ways.taken else "error", "" if ways.taken else GATES)
