"""The options of the environment `kubernetes`: which cluster, which credentials, and how many requests.

Which kubeconfig is read is the user's choice alone: `--env-set kubeconfig=…`, `KUBECONFIG`, `~/.kube/config`, or the
pod's service account. Its users' `exec` and `auth-provider` are commands; what its `tokenFile`, `client-certificate`
and `client-key` hold is shown to the server that it names; and that may be anybody's. A scenario chooses among the
contexts of that kubeconfig, nothing else.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from offbus.environment import Options, UsersChoice

if TYPE_CHECKING:
    from offbus_steps.kubernetes.rest.connection import Login

__all__ = ["KubernetesOptions"]

WHY_THE_USERS = "a kubeconfig may hold commands, and names files whose content is sent to the server in it"


class KubernetesOptions(Options):
    """The options beside `uses: kubernetes`."""

    context: str = Field(
        default="",
        description="Context of the kubeconfig. Empty: the current one; in a pod, its service account.",
    )
    namespace: str = Field(
        default="",
        description="The namespace of the drill, when the credentials have permissions in no other. They are checked "
        "there, and where `deploy` acts elsewhere. Empty: permissions are checked in all namespaces.",
    )
    kubeconfig: Annotated[str, UsersChoice(WHY_THE_USERS)] = Field(
        default="",
        description="Path of a kubeconfig file, from the command line alone. Empty: as kubectl finds it.",
    )
    agent_namespace: str = Field(
        default="offbus-system", description="Where the agents, the run's Lease and its records are."
    )
    responder: Literal["as_deployed", "dry_run"] = Field(
        default="as_deployed",
        description="dry_run: a fault that a responder is expected to answer is refused unless every part of it is in "
        "dry run. as_deployed: what is deployed decides.",
    )
    qps: float = Field(
        default=50,
        gt=0,
        le=1000,
        description="Requests a second to the API server, without traffic to the target.",
    )
    burst: int = Field(default=100, ge=1, le=2000, description="Requests at once.")
    lease_s: int = Field(
        default=30,
        ge=3,
        le=3600,
        description="Seconds until the run's Lease expires unrenewed: when its runner is gone for that long, the "
        "reaper finishes the run.",
    )

    def login(self) -> "Login":
        """Which cluster, and which credentials."""
        from offbus_steps.kubernetes.rest.connection import Login

        return Login(self.kubeconfig, self.context)
