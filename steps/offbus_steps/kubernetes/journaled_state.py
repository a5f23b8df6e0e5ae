"""How a run opened its cluster: what is journaled of that, and what of it a recovery, or a look, believes.

A journal is hostile input, unless this user's offbus opened the run with that state, on this machine
(offbus.run_origin). Of any other's nothing is believed that decides whom offbus talks to:

- the kubeconfig is one that this user chose: its credential plug-ins are commands;
- the context is that kubeconfig's current one, and the namespace of the agents is the usual one: who may write in
  another one would hold a Lease there that excludes no run, and would answer as the agent of any node;
- nobody counts as dead who owns the run; and rates and the duration of the Lease are the usual ones.

Another context or namespace is used when the user was shown it and wants it (`--trust`). Records of a cluster never
come here: who reads them replaces these options by their own (`offbus_steps.kubernetes.ownership.unfinished_runs`), and
notes the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from offbus.environment import RunHandle
from offbus.errors import CouldNotRun
from offbus.run_origin import noted
from offbus_steps.kubernetes.connect import journaled_options
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.safety.guards import ClusterGuards

__all__ = ["Believed", "believed", "journaled", "where"]


@dataclass(frozen=True, slots=True)
class Believed:
    """What a recovery acts by."""

    options: KubernetesOptions
    guards: ClusterGuards
    ours: bool
    """Whether this user's offbus opened the run with this state."""
    former: str = ""
    """The holder of the Lease that is dead, when that is known."""
    expired: str = ""
    """The version of the Lease that was watched unrenewed for its whole duration, when one was."""


def journaled(options: KubernetesOptions, guards: ClusterGuards, holder: str) -> dict[str, Any]:
    """What `believed` reads. The kubeconfig is referred to, never copied: credentials stay out of the journal."""
    return {"options": journaled_options(options), "guards": guards.model_dump(mode="json"), "holder": holder}


def believed(state: Mapping[str, Any], run: RunHandle, run_dir: Path) -> Believed:
    """What of a state counts. Raises CouldNotRun when it asks for more, pydantic's error when it has another shape."""
    said = KubernetesOptions.model_validate(state["options"])
    guards = ClusterGuards.model_validate(state["guards"])
    if noted(run_dir, state):
        expired = state.get("expired", state.get("lapsed", ""))
        return Believed(said, guards, ours=True, former=state["holder"], expired=expired)
    origin = f"and your offbus did not open the run of {run_dir} with it on this machine"
    if said.kubeconfig and said.login().file != Login().file:
        raise CouldNotRun(
            f"the run names the kubeconfig {said.kubeconfig}, which may hold commands, {origin}",
            hint=f"choose the kubeconfig yourself: KUBECONFIG=… offbus recover {run_dir}",
        )
    if not run.confirmed and (elsewhere := _elsewhere(said)):
        raise CouldNotRun(
            f"the run names {elsewhere}, {origin}",
            hint=f"look at it: offbus recover {run_dir} --plan, and if all of it is right: offbus recover {run_dir} "
            f"--trust; or by the cluster's own records: offbus recover {run.run_id} --env kubernetes --env-set …",
        )
    chosen = {key: getattr(said, key) for key in ("kubeconfig", "context", "namespace", "agent_namespace")}
    return Believed(KubernetesOptions(**chosen), guards, ours=False)


def where(state: Mapping[str, Any]) -> str:
    """Where a state would have a recovery act, in words."""
    try:
        said = KubernetesOptions.model_validate(state["options"])
    except (ValidationError, LookupError, RecursionError):
        return "its state cannot be read"
    login = said.login()
    cluster = str(login) if login.in_cluster else f"the context {said.context or '(current)'} of {login.file}"
    return f"{cluster}; the agents and the run's Lease are those in the namespace {said.agent_namespace}"


def _elsewhere(said: KubernetesOptions) -> str:
    """What decides whom offbus talks to and is not what it is without a choice; "" when nothing is."""
    if said.agent_namespace != KubernetesOptions().agent_namespace:
        return f"the namespace {said.agent_namespace!r} for the agents and its Lease"
    if said.context and said.context != Login(said.kubeconfig).current_context:
        return f"the context {said.context!r}, which is not the current one"
    return ""
