"""Manifests in the shapes that people write them, for tests. Sources are named beside each."""

from typing import Any

__all__ = ["agg", "beta_agg", "deployment", "disagg_router", "leader_worker_set", "stateful_set"]


def agg() -> dict[str, Any]:
    """ai-dynamo/dynamo examples/backends/vllm/deploy/agg.yaml: services Frontend and worker."""
    return {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "vllm-agg", "namespace": "drill", "uid": "u1", "generation": 1},
        "spec": {
            "services": {
                "Frontend": {
                    "componentType": "frontend",
                    "replicas": 1,
                    "extraPodSpec": {"mainContainer": {"image": "vllm-runtime:0.7.0"}},
                },
                "worker": {
                    "envFromSecret": "hf-token-secret",
                    "componentType": "worker",
                    "replicas": 1,
                    "resources": {"limits": {"gpu": "1"}},
                    "extraPodSpec": {
                        "mainContainer": {
                            "image": "vllm-runtime:0.7.0",
                            "command": ["python3", "-m", "dynamo.vllm"],
                            "args": ["--model", "Qwen/Qwen3-0.6B"],
                        }
                    },
                },
            }
        },
    }


def disagg_router() -> dict[str, Any]:
    """ai-dynamo/dynamo examples/backends/vllm/deploy/disagg_router.yaml: two kinds of workers, two of each."""
    graph = agg()
    worker = graph["spec"]["services"].pop("worker")
    graph["metadata"]["name"] = "vllm-v1-disagg-router"
    for name, flag in (("VllmDecodeWorker", "decode"), ("VllmPrefillWorker", "prefill")):
        main = {**worker["extraPodSpec"]["mainContainer"], "args": [f"--is-{flag}-worker"]}
        service = {**worker, "replicas": 2, "subComponentType": flag, "extraPodSpec": {"mainContainer": main}}
        graph["spec"]["services"][name] = service
    return graph


def deployment() -> dict[str, Any]:
    """A plain vLLM Deployment with a sidecar (docs.vllm.ai, deployment/k8s)."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "mistral-7b", "namespace": "drill", "uid": "u2", "generation": 1},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "mistral-7b"}},
            "template": {
                "metadata": {"labels": {"app": "mistral-7b"}},
                "spec": {
                    "containers": [
                        {"name": "logs", "image": "fluent-bit"},
                        {
                            "name": "mistral-7b",
                            "image": "vllm/vllm-openai:latest",
                            "ports": [{"name": "http", "containerPort": 8000}],
                            "env": [{"name": "HF_HOME", "value": "/models"}],
                            "resources": {
                                "limits": {"cpu": "10", "nvidia.com/gpu": "1"},
                                "requests": {"cpu": "2", "nvidia.com/gpu": "1"},
                            },
                            "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
                        },
                    ],
                    "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
                },
            },
        },
    }


def stateful_set() -> dict[str, Any]:
    """The same server with names of its own."""
    obj = deployment()
    spec = {**obj["spec"], "serviceName": "mistral-7b", "updateStrategy": {"type": "RollingUpdate"}}
    return {**obj, "kind": "StatefulSet", "spec": spec}


def leader_worker_set(*, own_leader: bool = True) -> dict[str, Any]:
    """kubernetes-sigs/lws docs/examples/vllm/GPU/lws.yaml: two groups of a leader and one worker, 8 GPUs each."""

    def template(name: str, **labels: str) -> dict[str, Any]:
        gpus = {"limits": {"nvidia.com/gpu": "8"}}
        ports = [{"containerPort": 8080}] if name == "vllm-leader" else []
        container = {"name": name, "image": "vllm", "resources": gpus, "ports": ports}
        return {"metadata": {"labels": labels}, "spec": {"containers": [container]}}

    templates = {"workerTemplate": template("vllm-worker")}
    if own_leader:
        templates["leaderTemplate"] = template("vllm-leader", role="leader")
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "vllm", "namespace": "drill", "uid": "u3", "generation": 1},
        "spec": {"replicas": 2, "leaderWorkerTemplate": {"size": 2, **templates}},
    }


def beta_agg() -> dict[str, Any]:
    """ai-dynamo/dynamo examples/backends/vllm/deploy/v1beta1/agg.yaml."""

    def component(name: str, kind: str, **main: Any) -> dict[str, Any]:
        pod = {"containers": [{"name": "main", "image": "vllm-runtime:1.3.1", **main}]}
        return {"name": name, "type": kind, "replicas": 1, "podTemplate": {"spec": pod}}

    gpu = {"limits": {"nvidia.com/gpu": "1"}}
    return {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "vllm-agg", "namespace": "drill", "uid": "u4", "generation": 1},
        "spec": {
            "components": [
                component("Frontend", "frontend"),
                component("VllmDecodeWorker", "worker", resources=gpu),
            ]
        },
    }
