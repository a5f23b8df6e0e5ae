"""A container's environment: what the kubelet sets, what the spec asks for, expanded in order as Kubernetes does."""

from collections.abc import Callable, Mapping
from typing import Any

from offbus_sandbox.kubelet.expand import expand
from offbus_steps.port import Object, Ref

__all__ = ["ConfigError", "container_argv", "container_env"]

ReadObject = Callable[[Ref], Object | None]

LIBRARY_PATH = "LD_LIBRARY_PATH"


class ConfigError(Exception):
    """Raised when a container cannot be configured; its status shows the message."""


def container_env(
    pod: Object, container: Mapping[str, Any], given: Mapping[str, str], read: ReadObject
) -> dict[str, str]:
    """The environment of a container.

    `given` is what the node sets; the spec may override it, but a library path of its own is put *before* the
    node's, as an image's path is searched before the driver that a container runtime adds. Raises ConfigError.
    """
    env = dict(given)
    for source in container.get("envFrom") or ():
        env.update(config_data(pod, source.get("configMapRef") or {}, read))
    for entry in container.get("env") or ():
        env[entry["name"]] = value_of(entry, pod, env, read)
    if LIBRARY_PATH in given and env[LIBRARY_PATH] != given[LIBRARY_PATH]:
        env[LIBRARY_PATH] = f"{env[LIBRARY_PATH]}:{given[LIBRARY_PATH]}"
    return env


def container_argv(container: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    """The command line, without a shell. Raises ConfigError when there is none: there is no image to supply it."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    if not words:
        raise ConfigError(
            f"container {container['name']} has no command; images are not pulled on a local node"
        )
    return [expand(word, env) for word in words]


def value_of(entry: Mapping[str, Any], pod: Object, env: Mapping[str, str], read: ReadObject) -> str:
    """One `env` entry."""
    source = entry.get("valueFrom")
    if source is None:
        return expand(str(entry.get("value") or ""), env)
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"].get("fieldPath", ""))
    if "configMapKeyRef" in source:
        return config_key(pod, source["configMapKeyRef"], read)
    raise ConfigError(f"env {entry['name']}: {', '.join(source)} is not served on a local node")


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
        raise ConfigError(f"fieldRef {path!r} is not served on a local node")
    return str(fields[path])


def config_key(pod: Object, source: Mapping[str, Any], read: ReadObject) -> str:
    """One key of a ConfigMap."""
    data = config_data(pod, source, read)
    if source["key"] not in data and not source.get("optional"):
        raise ConfigError(f"ConfigMap {source['name']} has no key {source['key']}")
    return data.get(source["key"], "")


def config_data(pod: Object, source: Mapping[str, Any], read: ReadObject) -> Mapping[str, str]:
    """A ConfigMap's data."""
    if "name" not in source:
        raise ConfigError("only ConfigMaps are served on a local node, not Secrets")
    found = read(Ref("ConfigMap", source["name"], pod["metadata"]["namespace"]))
    if found is None and not source.get("optional"):
        raise ConfigError(f"ConfigMap {source['name']} does not exist")
    data: Mapping[str, str] = (found or {}).get("data") or {}
    return data
