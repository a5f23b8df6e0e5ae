"""The kit's own client of the API server: health, apply, and waiting by watch."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import yaml

from tests.kits.cluster.credentials import BOOTSTRAP, token
from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.paths import ClusterPaths
from tests.kits.cluster.plan import API_SERVER

__all__ = ["apply", "client", "healthy", "renew_token", "wait_healthy", "wait_until"]

POLL_S = 0.1
"""Between two looks at /readyz, which is the only thing that says it."""
CALL_LIMIT_S = 15.0
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}
"""What the kit itself applies."""

Objects = dict[str, dict[str, Any]]


@contextmanager
def client(paths: ClusterPaths) -> Iterator[httpx.Client]:
    """As the kit's own user. The machine's proxies are not asked."""
    trusted = ssl.create_default_context(cafile=str(paths.secrets / "apiserver.crt"))
    headers = {"Authorization": f"Bearer {token(paths.secrets / f'{BOOTSTRAP}.kubeconfig')}"}
    with httpx.Client(
        base_url=API_SERVER, verify=trusted, headers=headers, timeout=CALL_LIMIT_S, trust_env=False
    ) as made:
        yield made


def healthy(api: httpx.Client) -> bool:
    """Whether the API server says that it is ready."""
    try:
        return api.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def wait_healthy(api: httpx.Client, alive: Callable[[], None], limit_s: float) -> None:
    """Return when the API server is ready; `alive` raises when that has become hopeless. Raises ClusterError."""
    deadline = time.monotonic() + limit_s
    while not healthy(api):
        alive()
        if time.monotonic() > deadline:
            raise ClusterError(f"the API server at {API_SERVER} was not ready within {limit_s:.0f} s")
        time.sleep(POLL_S)  # before it listens there is nothing to wait on but the next try


def apply(api: httpx.Client, manifests: str) -> None:
    """Apply all documents, server-side. Raises ClusterError with the server's own words."""
    for item in yaml.safe_load_all(manifests):
        meta = item["metadata"]
        path = PATHS[item["kind"]].format(meta.get("namespace", ""))
        answer = api.patch(
            f"{path}/{meta['name']}",
            params={"fieldManager": "offbus-cluster", "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(item),
        )
        checked(answer, f"apply {item['kind']} {meta['name']}")


def checked(answer: httpx.Response, what: str) -> Any:
    """The answer's JSON. Raises ClusterError."""
    if answer.is_error:
        raise ClusterError(f"{what}: the API server says {answer.status_code}: {answer.text[:1000]}")
    return answer.json()


def wait_until(
    api: httpx.Client, path: str, done: Callable[[Objects], bool], limit_s: float, what: str
) -> None:
    """List and watch `path` until `done` says so of all objects by name. Raises ClusterError after `limit_s`."""
    deadline = time.monotonic() + limit_s
    listed = checked(api.get(path), f"list {path}")
    objects: Objects = {item["metadata"]["name"]: item for item in listed["items"]}
    version = listed["metadata"]["resourceVersion"]
    while not done(objects):
        left = deadline - time.monotonic()
        if left <= 0:
            raise ClusterError(f"{what}: not within {limit_s:.0f} s")
        version = watch(api, path, version, objects, done, left)


def watch(
    api: httpx.Client,
    path: str,
    version: str,
    objects: Objects,
    done: Callable[[Objects], bool],
    limit_s: float,
) -> str:
    """Follow changes until `done`, or the server ends the watch; the version reached. Raises ClusterError."""
    asked = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(int(limit_s) + 1)}
    with api.stream("GET", path, params=asked, timeout=limit_s + CALL_LIMIT_S) as answer:
        for line in answer.iter_lines():
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise ClusterError(f"watch {path}: {event['object'].get('message')}")
            meta = event["object"]["metadata"]
            version = meta["resourceVersion"]
            if event["type"] == "DELETED":
                objects.pop(meta["name"], None)
            else:
                objects[meta["name"]] = event["object"]
            if done(objects):
                break
    return str(version)


def renew_token(api: httpx.Client, account: str, seconds: int) -> str:
    """A token of a service account in kube-system."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": seconds},
    }
    path = f"/api/v1/namespaces/kube-system/serviceaccounts/{account}/token"
    return str(checked(api.post(path, json=request), "ask for a token")["status"]["token"])
