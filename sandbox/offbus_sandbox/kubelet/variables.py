"""A container's environment: what the kubelet and the spec set, expanded in order as Kubernetes does."""

from collections.abc import Callable, Mapping
from typing import Any

from offbus_sandbox.kubelet.expand import expand
from offbus_steps.port import Object, Ref

__all__ = ["ConfigError", "container_argv", "container_env", "mounted_folders"]

ReadObject = Callable[[Ref], Object | None]

LIBRARY_PATH = "LD_LIBRARY_PATH"


class ConfigError(Exception):
    """Raised when a container's configuration is not valid; its status shows the message."""


def container_env(
    pod: Object, container: Mapping[str, Any], given: Mapping[str, str], read: ReadObject
) -> dict[str, str]:
    """The environment of a container.

    `given` is what the node sets; the spec may override it, but its own library path goes *before* the node's, as an
    image's path is searched before the driver that a container runtime adds. Raises ConfigError.
    """
    env = dict(given)
    for source in container.get("envFrom") or ():
        found = config_data(pod, source.get("configMapRef") or {}, read)
        env.update({f"{source.get('prefix', '')}{name}": value for name, value in found.items()})
    for entry in container.get("env") or ():
        env[entry["name"]] = value_of(entry, pod, env, read)
    if LIBRARY_PATH in given and env[LIBRARY_PATH] != given[LIBRARY_PATH]:
        env[LIBRARY_PATH] = f"{env[LIBRARY_PATH]}:{given[LIBRARY_PATH]}"
    return env


def container_argv(container: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    """The command line, without a shell. Raises ConfigError when there is none: no image supplies one."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    if not words:
        raise ConfigError(f"container {container['name']} has no command; a local node does not pull images")
    return [expand(word, env) for word in words]


def mounted_folders(pod: Object, container: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    """The parts of the node's folders that the container has mounted alone (subPathExpr), as paths on the node.

    The kubelet makes them. Nothing is mounted on a local node: a container's variables name the folders themselves.
    """
    paths = {
        one["name"]: one["hostPath"]["path"] for one in pod["spec"].get("volumes") or () if "hostPath" in one
    }
    return [
        f"{paths[one['name']]}/{expand(one['subPathExpr'], env)}"
        for one in container.get("volumeMounts") or ()
        if one.get("subPathExpr") and one["name"] in paths
    ]


def value_of(entry: Mapping[str, Any], pod: Object, env: Mapping[str, str], read: ReadObject) -> str:
    """One `env` entry."""
    source = entry.get("valueFrom")
    if source is None:
        return expand(str(entry.get("value") or ""), env)
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"].get("fieldPath", ""))
    if "configMapKeyRef" in source:
        ref = source["configMapKeyRef"]
        data = config_data(pod, ref, read)
        if ref["key"] not in data and not ref.get("optional"):
            raise ConfigError(f"ConfigMap {ref['name']} has no key {ref['key']}")
        return data.get(ref["key"], "")
    raise ConfigError(f"env {entry['name']}: {', '.join(source)} is not supported on a local node")


def field_of(pod: Object, path: str) -> str:
    """The downward API's fields."""
    meta, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
    fields = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": status.get("podIP", ""),
        "status.hostIP": status.get("hostIP", ""),
    }
    for field in ("labels", "annotations"):
        fields |= {f"metadata.{field}['{key}']": value for key, value in (meta.get(field) or {}).items()}
    if path not in fields:
        raise ConfigError(f"fieldRef {path!r} is not supported on a local node")
    return str(fields[path])


def config_data(pod: Object, source: Mapping[str, Any], read: ReadObject) -> Mapping[str, str]:
    """A ConfigMap's data."""
    if "name" not in source:
        raise ConfigError("a local node supports only ConfigMaps, not Secrets")
    found = read(Ref("ConfigMap", source["name"], pod["metadata"]["namespace"]))
    if found is None and not source.get("optional"):
        raise ConfigError(f"ConfigMap {source['name']} does not exist")
    data: Mapping[str, str] = (found or {}).get("data") or {}
    return data
