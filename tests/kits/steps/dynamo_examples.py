"""Facts of the example DynamoGraphDeployments in Dynamo's public repository (ai-dynamo/dynamo), file by file.

Only what targeting and patching depend on is kept: versions, names, types, counts, GPUs, which container holds them,
and what environment, volumes and mounts are there already. `manifest` makes of it the smallest graph of that shape.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["EXAMPLES", "Example", "Part", "manifest"]

MAIN = "main"


@dataclass(frozen=True, slots=True)
class Part:
    """A service (v1alpha1) or component (v1beta1)."""

    name: str
    kind: str
    replicas: int = 1
    nodes: int = 1
    gpus: int = 0
    engine: str = MAIN
    """The container that asks for the GPUs."""
    sidecars: tuple[str, ...] = ()
    """Containers beside `main`."""
    env: tuple[str, ...] = ()
    """Names in the GPU container's environment."""
    envs: tuple[str, ...] = ()
    """Names in the service's own `envs` (v1alpha1)."""
    volumes: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    """Paths mounted into the GPU container."""
    more: tuple[tuple[str, Any], ...] = ()
    """Further fields of the service or component."""


@dataclass(frozen=True, slots=True)
class Example:
    """One file."""

    path: str
    version: str
    name: str
    parts: tuple[Part, ...]
    env: tuple[str, ...] = ()
    """Names in the environment of the whole graph."""
    beside: tuple[str, ...] = ()
    """Kinds of further objects in the file."""

    @property
    def gpu_parts(self) -> list[Part]:
        """Those that the shim goes into."""
        return [part for part in self.parts if part.gpus]

    def __str__(self) -> str:
        return self.path


def front(**facts: Any) -> Part:
    return Part("Frontend", "frontend", **facts)


def worker(name: str, kind: str = "worker", **facts: Any) -> Part:
    return Part(name, kind, **{"gpus": 1, **facts})


A, B = "v1alpha1", "v1beta1"
VLLM, SGLANG, TRTLLM = (f"examples/backends/{name}/deploy" for name in ("vllm", "sglang", "trtllm"))
DECODE, PREFILL = ("subComponentType", "decode"), ("subComponentType", "prefill")
GMS = ("experimental", {"gpuMemoryService": {}})
OMPI = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "HF_HOME")
CACHE = ("MODEL_EXPRESS_CACHE_DIRECTORY", "HF_HUB_CACHE")
ENGINE_ENV = (
    "HF_HOME",
    "PYTHONHASHSEED",
    "VLLM_USE_RUST_FRONTEND",
    "VLLM_NIXL_SIDE_CHANNEL_HOST",
    "VLLM_NIXL_SIDE_CHANNEL_PORT",
    "OPENENGINE_SCHEMA_RELEASE",
)
ENGINE = {
    "engine": "engine",
    "sidecars": ("engine",),
    "env": ENGINE_ENV,
    "volumes": ("lora-cache", "model-cache"),
    "mounts": ("/lora-cache", "/model-cache"),
}
CONFIG = {"volumes": ("nvidia-config",), "mounts": ("/workspace/",)}
TWO = {"nodes": 2, "gpus": 4}

EXAMPLES: tuple[Example, ...] = (
    # vLLM
    Example(f"{VLLM}/agg.yaml", A, "vllm-agg", (front(), worker("worker"))),
    Example(
        f"{VLLM}/agg_router.yaml",
        A,
        "vllm-agg-router",
        (front(envs=("DYN_ROUTER_MODE",)), worker("VllmDecodeWorker", replicas=2)),
    ),
    Example(
        f"{VLLM}/disagg.yaml",
        A,
        "vllm-disagg",
        (
            front(),
            worker("VllmDecodeWorker", more=(DECODE,)),
            worker("VllmPrefillWorker", more=(PREFILL,)),
        ),
    ),
    Example(
        f"{VLLM}/disagg_router.yaml",
        A,
        "vllm-v1-disagg-router",
        (
            front(envs=("DYN_ROUTER_MODE",)),
            worker("VllmDecodeWorker", replicas=2),
            worker("VllmPrefillWorker", replicas=2),
        ),
    ),
    Example(
        f"{VLLM}/disagg-multinode.yaml",
        A,
        "vllm-disagg",
        (front(), worker("decode", nodes=2), worker("prefill", nodes=2)),
    ),
    Example(
        f"{VLLM}/disagg_kvbm_tp2.yaml",
        A,
        "vllm-disagg-kvbm-tp2",
        (
            front(),
            Part("ModelExpress", "frontend"),
            worker("VllmDecodeWorker", gpus=2, env=CACHE, envs=("MODEL_EXPRESS_URL",)),
            worker(
                "VllmPrefillWorker", gpus=2, env=CACHE, envs=("DYN_KVBM_CPU_CACHE_GB", "MODEL_EXPRESS_URL")
            ),
        ),
        beside=("PersistentVolumeClaim",),
    ),
    Example(
        f"{VLLM}/disagg_planner.yaml",
        A,
        "vllm-disagg-planner",
        (
            front(),
            Part(
                "Planner",
                "planner",
                volumes=("planner-profile-data",),
                mounts=("/workspace/profiling_results",),
            ),
            worker("VllmDecodeWorker", more=(DECODE,)),
            worker("VllmPrefillWorker", more=(PREFILL,)),
        ),
    ),
    Example(f"{VLLM}/agg_gms.yaml", B, "vllm-agg-gms", (front(), worker("VllmWorker", more=(GMS,)))),
    Example(
        f"{VLLM}/gaie/agg.yaml",
        B,
        "qwen",
        (
            Part("Epp", "epp"),
            worker(
                "worker",
                "decode",
                sidecars=("sidecar-frontend",),
                env=("SERVED_MODEL_NAME", "MODEL_PATH", "DYN_STORE_KV"),
                more=(("frontendSidecar", "sidecar-frontend"), ("sharedMemorySize", "2Gi")),
            ),
        ),
    ),
    Example(
        f"{VLLM}/sidecar_agg.yaml",
        B,
        "vllm-sidecar-agg",
        (front(), worker("VllmSidecarWorker", engine="vllm-engine", sidecars=("vllm-engine",))),
    ),
    Example(f"{VLLM}/v1beta1/agg.yaml", B, "vllm-agg", (front(), worker("VllmDecodeWorker"))),
    Example(
        f"{VLLM}/v1beta1/disagg.yaml",
        B,
        "vllm-disagg",
        (front(), worker("VllmDecodeWorker", "decode"), worker("VllmPrefillWorker", "prefill")),
    ),
    Example(
        f"{VLLM}/v1beta1/disagg-multinode.yaml",
        B,
        "vllm-disagg",
        (front(), worker("decode", nodes=2), worker("prefill", nodes=2)),
    ),
    Example(
        f"{VLLM}/v1beta1/openengine-disagg.yaml",
        B,
        "vllm-openengine-disagg",
        (
            front(env=("DYN_NAMESPACE",)),
            worker("PrefillWorker", "prefill", **ENGINE),
            worker("DecodeWorker", "decode", **ENGINE),
        ),
    ),
    Example(
        f"{VLLM}/v1beta1/agg_failover.yaml",
        B,
        "vllm-agg-failover",
        (
            front(),
            worker("VllmWorker", gpus=2, more=(("experimental", {"failover": {}, "gpuMemoryService": {}}),)),
        ),
    ),
    # SGLang
    Example(f"{SGLANG}/agg.yaml", A, "sglang-agg", (front(), worker("decode"))),
    Example(
        f"{SGLANG}/agg_logging.yaml",
        A,
        "sglang-agg",
        (front(), worker("decode")),
        env=("DYN_LOGGING_JSONL",),
    ),
    Example(
        f"{SGLANG}/disagg.yaml",
        A,
        "sglang-disagg",
        (front(), worker("decode", more=(DECODE,)), worker("prefill", more=(PREFILL,))),
    ),
    Example(
        f"{SGLANG}/disagg-multinode.yaml",
        A,
        "sglang-disagg-multinode",
        (front(), worker("decode", **TWO), worker("prefill", **TWO)),
        env=("HF_TOKEN", "GLOO_SOCKET_IFNAME"),
    ),
    Example(
        f"{SGLANG}/disagg_planner.yaml",
        A,
        "sglang-disagg-planner",
        (
            front(),
            Part("Planner", "planner"),
            worker("decode", replicas=2, more=(DECODE,)),
            worker("prefill", replicas=2, more=(PREFILL,)),
        ),
    ),
    Example(f"{SGLANG}/v1beta1/agg.yaml", B, "sglang-agg", (front(), worker("decode"))),
    Example(f"{SGLANG}/v1beta1/agg_gms.yaml", B, "sglang-agg-gms", (front(), worker("decode", more=(GMS,)))),
    Example(
        f"{SGLANG}/v1beta1/disagg-multinode.yaml",
        B,
        "sglang-disagg-multinode",
        (front(), worker("decode", "decode", **TWO), worker("prefill", "prefill", **TWO)),
        env=("HF_TOKEN", "GLOO_SOCKET_IFNAME"),
    ),
    # TensorRT-LLM
    Example(f"{TRTLLM}/agg.yaml", A, "trtllm-agg", (front(), worker("TRTLLMWorker"))),
    Example(
        f"{TRTLLM}/agg-with-config.yaml",
        A,
        "trtllm-agg",
        (front(), worker("TRTLLMWorker", **CONFIG)),
        beside=("ConfigMap",),
    ),
    Example(
        f"{TRTLLM}/disagg.yaml",
        A,
        "trtllm-disagg",
        (front(), worker("prefill", more=(PREFILL,)), worker("decode", more=(DECODE,))),
    ),
    Example(
        f"{TRTLLM}/disagg-multinode.yaml",
        A,
        "trtllm-disagg-tp8",
        (front(), worker("prefill", **TWO, **CONFIG), worker("decode", **TWO, **CONFIG)),
        env=OMPI,
        beside=("ConfigMap", "PersistentVolumeClaim"),
    ),
    Example(
        f"{TRTLLM}/disagg_router.yaml",
        A,
        "trtllm-v1-disagg-router",
        (
            front(envs=("DYN_ROUTER_MODE",)),
            worker("TRTLLMPrefillWorker", replicas=2),
            worker("TRTLLMDecodeWorker", replicas=2),
        ),
    ),
    Example(f"{TRTLLM}/v1beta1/agg.yaml", B, "trtllm-agg", (front(), worker("TRTLLMWorker"))),
    Example(
        f"{TRTLLM}/v1beta1/disagg-multinode.yaml",
        B,
        "trtllm-disagg-tp8",
        (
            front(volumes=("models",), mounts=("/models",)),
            *(
                worker(name, **TWO, volumes=("models", "nvidia-config"), mounts=("/models", "/workspace/"))
                for name in ("decode", "prefill")
            ),
        ),
        env=OMPI,
        beside=("ConfigMap", "PersistentVolumeClaim"),
    ),
    Example(
        f"{TRTLLM}/v1beta1/snapshot-restore.yaml",
        B,
        "qwen3-0-6b-trtllm-snapshot-restore",
        (
            front(),
            worker(
                "TRTLLMWorker",
                env=("UCX_TLS",),
                volumes=("hf-cache", "criu-work", "dev-net-tun"),
                mounts=("/home/dynamo/.cache/huggingface", "/var/criu-work", "/dev/net/tun"),
                more=(("experimental", {"checkpoint": {"enabled": True}}),),
            ),
        ),
    ),
)


def manifest(example: Example) -> Iterator[dict[str, Any]]:
    """The objects of the file, as small as they can be."""
    for kind in example.beside:
        yield {"apiVersion": "v1", "kind": kind, "metadata": {"name": "beside"}}
    env = {"envs" if example.version == A else "env": _env(example.env)} if example.env else {}
    parts: Any = (
        {part.name: _service(part) for part in example.parts}
        if example.version == A
        else [_component(part) for part in example.parts]
    )
    yield {
        "apiVersion": f"nvidia.com/{example.version}",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": example.name},
        "spec": {**env, "services" if example.version == A else "components": parts},
    }


def _service(part: Part) -> dict[str, Any]:
    pod = {"mainContainer": _container(part, MAIN, {})}
    if part.volumes:
        pod["volumes"] = _volumes(part)
    service = {"componentType": part.kind, "replicas": part.replicas, "extraPodSpec": pod, **dict(part.more)}
    if part.envs:
        service["envs"] = _env(part.envs)
    if part.gpus:
        service["resources"] = {"limits": {"gpu": str(part.gpus)}}
    return service | _nodes(part)


def _component(part: Part) -> dict[str, Any]:
    gpus = {"resources": {"limits": {"nvidia.com/gpu": str(part.gpus)}}} if part.gpus else {}
    names = (MAIN, *part.sidecars)
    pod: dict[str, Any] = {
        "containers": [_container(part, name, gpus if name == part.engine else {}) for name in names]
    }
    if part.volumes:
        pod["volumes"] = _volumes(part)
    body = {"name": part.name, "type": part.kind, "replicas": part.replicas, "podTemplate": {"spec": pod}}
    return body | dict(part.more) | _nodes(part)


def _container(part: Part, name: str, gpus: dict[str, Any]) -> dict[str, Any]:
    made = {"name": name, "image": "runtime:1.3.1", "command": ["python3"], **gpus}
    if name == part.engine and part.env:
        made["env"] = _env(part.env)
    if name == part.engine and part.mounts:
        made["volumeMounts"] = [
            {"name": volume, "mountPath": path}
            for volume, path in zip(part.volumes, part.mounts, strict=True)
        ]
    return made


def _nodes(part: Part) -> dict[str, Any]:
    return {"multinode": {"nodeCount": part.nodes}} if part.nodes > 1 else {}


def _env(names: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"name": name, "value": "1"} for name in names]


def _volumes(part: Part) -> list[dict[str, Any]]:
    return [{"name": name, "emptyDir": {}} for name in part.volumes]
