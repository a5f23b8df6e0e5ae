"""A target and a fault as steps hand them on, where no step has made them."""

from offbus_steps.agents.fault_model import Fault
from offbus_steps.workloads.target import Target

__all__ = ["FAULT", "TARGET"]

TARGET = Target(kind="Deployment", name="web", namespace="drill", port=8000, selector={"app": "web"})
FAULT = Fault(
    id="f", node="node-1", gpus=["GPU-1"], xid=79, planes=["cuda"], holders={}, mark=0, injected_seq=1, injected_ns=0
)  # fmt: skip
