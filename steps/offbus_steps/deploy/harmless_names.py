"""Which names have values that may be written into a run's folder: environment variables, HTTP headers, annotations.

Lists of what is known to be harmless, not of what is known to be secret: a name that nobody thought of is taken for a
secret. A variable of a family (`NCCL_…`) that sounds secret all the same is one; annotations have no families, as
anybody may add to a prefix. Pure.

Sources: the documentation of CUDA, NCCL, UCX, NVSHMEM, PyTorch, vLLM, SGLang, TensorRT-LLM, NVIDIA Dynamo, NIM, Hugging
Face, Ray and OpenTelemetry; Kubernetes' "Well-Known Labels, Annotations and Taints"; RFC 9110 for headers.
"""

import re

__all__ = ["is_harmless_annotation", "is_harmless_env", "is_harmless_header", "sounds_secret"]

_ENV_TEXT = """
PATH HOME USER LANG LANGUAGE TZ TERM PWD SHELL TMPDIR TMP TEMP HOSTNAME XDG_CACHE_HOME XDG_CONFIG_HOME
DEBIAN_FRONTEND LD_PRELOAD LD_LIBRARY_PATH PYTHONPATH PYTHONHOME PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE
PYTHONHASHSEED PYTHONFAULTHANDLER PYTHONIOENCODING PYTHONUTF8 VIRTUAL_ENV MALLOC_ARENA_MAX TOKENIZERS_PARALLELISM
OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS RUST_LOG RUST_BACKTRACE GOMAXPROCS GOMEMLIMIT GODEBUG NO_COLOR
POD_NAME POD_NAMESPACE POD_IP POD_UID NODE_NAME NODE_IP HOST_IP NAMESPACE CONTAINER_NAME REPLICA_INDEX
PORT HOST LOG_LEVEL LOGLEVEL DEBUG MASTER_ADDR MASTER_PORT WORLD_SIZE RANK LOCAL_RANK NODE_RANK
MODEL MODEL_ID MODEL_NAME MODEL_PATH SERVED_MODEL_NAME TENSOR_PARALLEL_SIZE PIPELINE_PARALLEL_SIZE DTYPE
NVIDIA_VISIBLE_DEVICES NVIDIA_DRIVER_CAPABILITIES NVIDIA_REQUIRE_CUDA NVIDIA_DISABLE_REQUIRE NVIDIA_IMEX_CHANNELS
NVIDIA_MIG_CONFIG_DEVICES NVIDIA_PRODUCT_NAME TRITON_CACHE_DIR
VLLM_LOGGING_LEVEL VLLM_USE_V1 VLLM_ATTENTION_BACKEND VLLM_WORKER_MULTIPROC_METHOD VLLM_HOST_IP VLLM_PORT
VLLM_CACHE_ROOT VLLM_CONFIG_ROOT VLLM_ENGINE_ITERATION_TIMEOUT_S VLLM_RPC_TIMEOUT VLLM_NCCL_SO_PATH
VLLM_USE_MODELSCOPE VLLM_ALLOW_LONG_MAX_MODEL_LEN VLLM_CPU_KVCACHE_SPACE VLLM_TRACE_FUNCTION VLLM_NO_USAGE_STATS
SGLANG_LOG_MS SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK SGL_ENABLE_JIT_DEEPGEMM TLLM_LOG_LEVEL TRTLLM_LOG_LEVEL
TRTLLM_ENABLE_PDL DYN_LOG DYN_LOGGING_JSONL DYN_NAMESPACE DYN_COMPONENT DYN_SYSTEM_PORT DYN_SYSTEM_ENABLED
DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS DYN_HTTP_PORT DYN_MODEL_NAME DYN_PARENT_DGD_K8S_NAME
DYN_PARENT_DGD_K8S_NAMESPACE DYN_DISCOVERY_BACKEND DYN_KVBM_CPU_CACHE_GB DYNAMO_PORT
HF_HOME HF_HUB_OFFLINE HF_HUB_CACHE HF_HUB_ENABLE_HF_TRANSFER HF_HUB_DISABLE_TELEMETRY HF_DATASETS_OFFLINE
TRANSFORMERS_OFFLINE TRANSFORMERS_CACHE TRANSFORMERS_VERBOSITY NIM_CACHE_PATH NIM_LOG_LEVEL NIM_MODEL_NAME
NIM_SERVED_MODEL_NAME NIM_TENSOR_PARALLEL_SIZE NIM_SERVER_PORT WANDB_MODE WANDB_PROJECT RAY_DEDUP_LOGS
RAY_DISABLE_MEMORY_MONITOR OTEL_SERVICE_NAME OTEL_TRACES_EXPORTER OTEL_METRICS_EXPORTER OTEL_LOGS_EXPORTER
OFFBUS_PAGE_DIR OFFBUS_EVENTS_DIR OFFBUS_POD_UID OFFBUS_NODE_ROOT OFFBUS_COMPONENT OFFBUS_ENDPOINTS OFFBUS_STANDIN_GPUS
"""
_ENV_FAMILIES = (
    "CUDA_",
    "GLOO_",
    "LC_",
    "MKL_",
    "NCCL_",
    "NVSHMEM_",
    "OMP_",
    "PYTORCH_",
    "TORCH_",
    "TORCHINDUCTOR_",
    "UCX_",
)

_HEADERS_TEXT = """
accept accept-encoding accept-language cache-control connection content-length content-type host range user-agent
x-forwarded-proto x-request-id
"""

_ANNOTATIONS_TEXT = """
autoscaling.alpha.kubernetes.io/conditions autoscaling.alpha.kubernetes.io/current-metrics
cluster-autoscaler.kubernetes.io/safe-to-evict deployment.kubernetes.io/desired-replicas
deployment.kubernetes.io/max-replicas deployment.kubernetes.io/revision dgxc.nvidia.com/devices
kubectl.kubernetes.io/default-container kubectl.kubernetes.io/restartedAt kubernetes.io/config.hash
kubernetes.io/config.mirror kubernetes.io/config.seen kubernetes.io/config.source kubernetes.io/psp
nvidia.com/dynamo-discovery-backend nvidia.com/enable-grove nvidia.com/kubernetes-discovery-mode prometheus.io/path
prometheus.io/port prometheus.io/scheme prometheus.io/scrape sidecar.istio.io/inject
"""
_SECRETIVE_WORDS_TEXT = """
apikey auth authorization bearer cookie cred creds credential credentials dsn encryption hmac jwt key keys licence
license pass passphrase passwd passwords password pat pepper private pw pwd salt sas secret secrets sig signature
signing token tokens webhook
"""
_SECRETIVE_PARTS = re.compile(r"token(?!i[sz])|secret|passw|credential|apikey")
_REFERENCES_TEXT = "class file files limit mode name names path paths policy ref type"
"""Last words of names whose values only say where a secret is (`secretName`), or how many (`token-limit`)."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_ENV, _HEADERS, _ANNOTATIONS, _SECRETIVE_WORDS, _REFERENCES = (
    frozenset(text.split())
    for text in (_ENV_TEXT, _HEADERS_TEXT, _ANNOTATIONS_TEXT, _SECRETIVE_WORDS_TEXT, _REFERENCES_TEXT)
)


def is_harmless_env(name: str) -> bool:
    """Whether the value of the environment variable may be shown."""
    return name in _ENV or (name.startswith(_ENV_FAMILIES) and not sounds_secret(name))


def is_harmless_header(name: str) -> bool:
    """Whether the value of the HTTP header may be shown; names have no case."""
    return name.lower() in _HEADERS


def is_harmless_annotation(name: str) -> bool:
    """Whether the value of the annotation may be shown."""
    return name in _ANNOTATIONS


def sounds_secret(name: str) -> bool:
    """Whether the name of a flag, a field or a variable says that its value is a secret."""
    # `hfToken`, `HF_TOKEN` and `--hf-token` alike: hf, token
    words = [found.lower() for found in _WORDS.findall(name)]
    if not words or words[-1] in _REFERENCES:
        return False
    return not _SECRETIVE_WORDS.isdisjoint(words) or _SECRETIVE_PARTS.search("".join(words)) is not None
