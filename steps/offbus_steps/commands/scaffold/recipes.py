"""What `offbus init` can write: its recipes, backends and environments. Imports nothing, for help and completion."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "BACKENDS",
    "DEFAULT_BACKEND",
    "DEFAULT_RECIPE",
    "ENVIRONMENTS",
    "FROM_KINDS",
    "RECIPES",
    "SEVERAL",
    "Backend",
    "Recipe",
    "xids_in",
]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A scenario's steps, in templates/recipes, and the XIDs that they suit."""

    name: str
    summary: str
    """One sentence: what happens, and what must come of it."""
    stem: str
    """Default of the scenario's name; `{xid}` is the XID."""
    xids: tuple[int, ...]
    """Default."""
    suits: str = "XIDs that CUDA programs see"
    """For messages: those that it takes."""
    cordons: bool | None = None
    """Whether NVSentinel must quarantine the node; None: either."""
    in_cuda: bool = True
    """Whether the XID must show in CUDA."""
    fault: str = "inject"
    """Id of its step that injects."""
    expect: tuple[str, ...] = ("metrics.requests.success_rate >= {floor}",)


_CORDON = 'metrics.time_to_cordon < duration("60s")'

RECIPES: Mapping[str, Recipe] = {
    one.name: one
    for one in (
        Recipe(
            "cordon-and-drain",
            "A GPU fails for good: its node is cordoned and drained, and inference continues on other nodes.",
            "xid{xid}",
            (79,),
            suits="XIDs that CUDA programs see, and for which NVSentinel cordons the node",
            cordons=True,
            expect=(_CORDON, "metrics.requests.success_rate >= {floor}"),
        ),
        Recipe(
            "contained",
            "An error ends one process: it is restarted, and the node is left alone.",
            "xid{xid}",
            (94,),
            suits="XIDs that CUDA programs see, and for which NVSentinel leaves the node alone",
            cordons=False,
        ),
        Recipe(
            "matrix",
            "Several XIDs, a run for each: what comes of it is right for that XID, and nothing else.",
            "xids",
            (79, 48, 74, 94),
        ),
        Recipe(
            "detect",
            "The kernel's line alone, no pod is touched: the fault is detected, and answered as it should be.",
            "xid{xid}-detect",
            (79,),
            suits="all XIDs",
            in_cuda=False,
            expect=('metrics.time_to_detect < duration("60s")',),
        ),
        Recipe(
            "crash",
            "CUDA calls fail, and no detector sees it: the process ends, is restarted, and answers again.",
            "xid{xid}-crash",
            (79,),
            fault="arm",
        ),
    )
}
DEFAULT_RECIPE = "cordon-and-drain"
SEVERAL = "matrix"
"""The recipe that takes several XIDs."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A kind of target, as a manifest. Commands and images are those of ai-dynamo/dynamo,
    examples/backends/NAME/deploy/agg.yaml; of the Deployment, of docs.vllm.ai (deployment/k8s)."""

    template: str
    image: str
    """Default, on a cluster."""
    worker: str = ""
    """The service that holds the GPUs."""
    folder: str = ""
    arguments: tuple[str, ...] = ()


_DYNAMO = "nvcr.io/nvidia/ai-dynamo/{}-runtime:0.8.0"
_MODEL = "Qwen/Qwen3-0.6B"

BACKENDS: Mapping[str, Backend] = {
    "vllm": Backend(
        "graph",
        _DYNAMO.format("vllm"),
        "worker",
        "/workspace/examples/backends/vllm",
        ("--model", _MODEL),
    ),
    "sglang": Backend(
        "graph",
        _DYNAMO.format("sglang"),
        "decode",
        "/workspace/examples/backends/sglang",
        (
            "--model-path",
            _MODEL,
            "--page-size",
            "16",
            "--tp",
            "1",
            "--trust-remote-code",
            "--skip-tokenizer-init",
        ),
    ),
    "trtllm": Backend(
        "graph",
        _DYNAMO.format("tensorrtllm"),
        "TRTLLMWorker",
        "/workspace",
        (
            "--model-path",
            _MODEL,
            "--extra-engine-args",
            "./examples/backends/trtllm/engine_configs/qwen3/agg.yaml",
        ),
    ),
    "deployment": Backend("deployment", "vllm/vllm-openai:latest"),
}
DEFAULT_BACKEND = "vllm"

ENVIRONMENTS = ("local", "kubernetes")

FROM_KINDS: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("deployment", "deployments", "deploy", "deployment.apps", "deployments.apps"),
    "StatefulSet": ("statefulset", "statefulsets", "sts", "statefulset.apps", "statefulsets.apps"),
    "LeaderWorkerSet": ("leaderworkerset", "leaderworkersets", "lws"),
    "DynamoGraphDeployment": ("dynamographdeployment", "dynamographdeployments", "dgd"),
}
"""The kinds that can be a target, and how kubectl takes them, in lower case (short names: kubernetes-sigs/lws and
ai-dynamo/dynamo, their CRDs)."""


def xids_in(text: str) -> tuple[int, ...]:
    """Numbers with commas between. Raises UsageError."""
    from offbus.errors import UsageError

    try:
        return tuple(int(one) for one in text.split(","))
    except ValueError as err:
        raise UsageError(
            f"{text[:80]!r} is not the number of an XID", hint="several have commas between: 79,48"
        ) from err
