"""The two admission methods, and which of them a cluster supports: its own admission policies first, else our webhook.

Both are tested by dry runs of what would be created, so `plan` and `prepare_cuda` check the same and change nothing.
Only the effect shows whether a method works: a server with the feature gate off accepts policies and ignores them, and
one whose webhook is down admits pods without it.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from offbus.errors import OffbusError, StepError
from offbus.preflight import PreflightCheck
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.port import Conflict, Forbidden, Invalid, NotFound, Object, Ref
from offbus_steps.prepare.admission_kinds import POLICY, WEBHOOK
from offbus_steps.prepare.mutating_policy import binding_of, policy_of
from offbus_steps.prepare.webhook_configuration import CERTIFICATE, SERVICE, configuration_of
from offbus_steps.workloads.target import Target

__all__ = ["GATES", "Admitted", "Method", "Methods", "admission_checks", "supported_methods"]

GATES = (
    "Kubernetes 1.34 serves policies with --feature-gates=MutatingAdmissionPolicy=true and "
    "--runtime-config=admissionregistration.k8s.io/v1beta1=true"
)
DEPLOY = "kubectl apply -k deploy/webhook"


@dataclass(frozen=True, slots=True)
class Method:
    """The objects of one method, which change pods as they are created."""

    kind: str
    objects: tuple[Object, ...]
    idle: str
    """The cause when pods are created unchanged all the same."""


@dataclass(frozen=True, slots=True)
class Methods:
    """What a cluster supports, the preferred first, and why not the others."""

    supported: tuple[Method, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the objects of each method are made of."""

    name: str
    run: str
    target: Target
    images: Mapping[str, str]


async def supported_methods(cluster: Cluster, wanted: Admitted) -> Methods:
    """Ask the cluster. Raises StepError for missing permissions, or when another run's objects are there."""
    policy = policy_of(wanted.name, wanted.run, wanted.target, wanted.images, cluster.port.host_path)
    idle = f"the cluster accepted the {POLICY} and ignores it: its feature gate is off"
    by_policy = Method(POLICY, (policy, binding_of(wanted.name, wanted.run)), idle)
    supported, missing = [], []
    for kind in (POLICY, WEBHOOK):
        method = by_policy if kind == POLICY else await _webhook(cluster, wanted)
        why = method if isinstance(method, str) else await _refused(cluster, method)
        if why is None and isinstance(method, Method):
            supported.append(method)
        else:
            missing.append(str(why))
    return Methods(tuple(supported), tuple(missing))


async def _webhook(cluster: Cluster, wanted: Admitted) -> Method | str:
    """The method, or why it is not available."""
    namespace = cluster.port.agent_namespace
    if not namespace:
        return "offbus's webhook runs only in clusters"
    published = Ref("ConfigMap", SERVICE, namespace)
    try:
        certificate = ((await cluster.port.objects.get(published)).get("data") or {}).get(CERTIFICATE)
    except NotFound:
        return f"offbus's webhook is not deployed in {namespace}: run `{DEPLOY}`"
    see = f"check `kubectl -n {namespace} logs deployment/{SERVICE}`"
    deployed = (
        (await cluster.port.objects.list("Deployment", namespace=namespace)).items if certificate else ()
    )
    if not any(
        one["metadata"]["name"] == SERVICE and (one.get("status") or {}).get("readyReplicas")
        for one in deployed
    ):
        return f"offbus's webhook is not ready: {see}"
    try:
        made = configuration_of(
            wanted.name, wanted.run, wanted.target, wanted.images, namespace, str(certificate)
        )
    except Invalid as err:
        return err.message
    return Method(WEBHOOK, (made,), f"the API server gets no answer from offbus's webhook: {see}")


async def _refused(cluster: Cluster, method: Method) -> str | None:
    """Why the cluster would not accept it; None when it would. A binding is served with its policy."""
    try:
        await cluster.port.objects.create(method.objects[0], dry_run=True)
    except (NotFound, Invalid) as err:
        return f"the cluster does not serve {method.kind} as offbus needs it: {err.message}"
    except Forbidden as err:
        raise StepError(
            f"missing permission to create a {method.kind}: {err.message}",
            hint="bind the role offbus-runner-admission of deploy/, or use `by: patch`",
        ) from err
    except Conflict as err:
        raise StepError(f"{err.message}", hint="run `offbus recover` to undo an unfinished run") from err
    return None


async def admission_checks(cluster: Cluster, target: Target) -> AsyncIterator[PreflightCheck]:
    """For `plan`: which method would be used, and why the others are not available."""
    try:
        methods = await supported_methods(
            cluster, Admitted(f"offbus-{cluster.run.run_id}", cluster.run.run_id, target, {})
        )
    except OffbusError as err:
        yield PreflightCheck("prepare", err.message, "error", err.hint)
        return
    if methods.supported:
        kinds = [one.kind for one in methods.supported]
        last = f", or by {kinds[1]} if that has no effect" if kinds[1:] else ""
        yield PreflightCheck("prepare", f"pods would get the shim by {kinds[0]}{last}")
    for why in methods.missing:
        other = bool(methods.supported)
        yield PreflightCheck("prepare", why, "info" if other else "error", "" if other else GATES)
