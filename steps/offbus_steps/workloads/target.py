"""The workload under test, and its pods."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from offbus_steps.port import Ref
from offbus_steps.workloads import Workload, workload_of

if TYPE_CHECKING:
    from offbus_steps.port import Objects

from offbus.errors import StepError

__all__ = ["Target", "live_workload", "required_target"]


class Target(BaseModel):
    """Names a workload and says how its pods and its frontend are found. A step's output, and other steps' param."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: str = Field(description="Kind of the workload: Deployment, DynamoGraphDeployment, …")
    name: str = Field(description="Name of the object.")
    namespace: str = Field(description="Its namespace.")
    port: int = Field(description="Port on which its frontend serves HTTP.")
    selector: dict[str, str] = Field(description="Labels that its pods, and no others, have.")

    @property
    def ref(self) -> Ref:
        """The workload object; requests to it reach its frontend."""
        return Ref(self.kind, self.name, self.namespace)

    @classmethod
    def of(cls, workload: Workload, *, port: int | None = None) -> "Target":
        """The target that a workload object is."""
        ref = workload.ref
        return cls(
            kind=ref.kind,
            name=ref.name,
            namespace=ref.namespace,
            port=workload.port if port is None else port,
            selector=dict(workload.selector),
        )

    def __str__(self) -> str:
        return str(self.ref)


async def live_workload(objects: "Objects", target: Target) -> Workload:
    """The workload object as it is now. Raises NotFound."""
    return workload_of(await objects.get(target.ref))


def required_target(target: Target | None) -> Target:
    """The target; the language sees to it that there is one."""
    if target is None:
        raise StepError("no target", hint="put a `deploy` step above, or give `target`")
    return target
