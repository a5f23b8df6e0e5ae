"""What the webhook answers, and what its path says: pure; and its certificate, through a real handshake."""

import copy
import json
import socket
import ssl
import threading
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.kubernetes.webhook.certificate import new_identity
from offbus_steps.kubernetes.webhook.reviews import reviewed
from offbus_steps.port import Invalid
from offbus_steps.prepare.webhook_configuration import images_of, path_of
from offbus_steps.workloads.shim_mounts import LIBRARY, VOLUMES, variables

GPU = {"limits": {"nvidia.com/gpu": "1"}}


def review(pod: Any, **more: Any) -> bytes:
    request = {"uid": "u1", "operation": "CREATE", "kind": {"kind": "Pod"}, "object": pod, **more}
    return json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    ).encode()


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


def patched(pod: dict[str, Any], images: dict[str, str] | None = None) -> dict[str, Any]:
    """The pod with the answer's patch applied, in the few forms that it takes."""
    response = reviewed(review(pod), images or {})["response"]
    assert (response["uid"], response["allowed"]) == ("u1", True)
    found = copy.deepcopy(pod)
    for one in json.loads(b64decode(response["patch"])) if "patch" in response else ():
        where = one["path"].split("/")[1:]
        if where[1] in ("containers", "initContainers") and one["op"] == "replace":
            found["spec"][where[1]][int(where[2])] = one["value"]
        else:
            assert (one["op"], where) == ("add", ["spec", "volumes"])
            found["spec"]["volumes"] = one["value"]
    return found


def preload(container: dict[str, Any]) -> str | None:
    return next((one.get("value") for one in container.get("env") or () if one["name"] == "LD_PRELOAD"), None)


def test_gpu_containers_are_changed_and_others_are_not() -> None:
    shm = {"name": "shm", "emptyDir": {}}
    found = patched(pod({"name": "a", "resources": GPU}, {"name": "b"}, volumes=[shm]))["spec"]
    assert preload(found["containers"][0]) == LIBRARY
    assert found["containers"][1] == {"name": "b"}
    assert found["volumes"][0] == shm
    assert [one["name"] for one in found["volumes"]] == ["shm", *(one["name"] for one in VOLUMES)]


def test_a_sidecar_with_gpus_is_changed_and_an_init_container_is_not() -> None:
    sidecar = {"name": "engine", "resources": GPU, "restartPolicy": "Always"}
    inits = [{"name": "check", "resources": GPU}, sidecar]
    found = patched(pod({"name": "b"}, initContainers=inits))["spec"]
    assert found["containers"] == [{"name": "b"}]
    assert found["initContainers"][0] == inits[0]
    assert preload(found["initContainers"][1]) == LIBRARY
    assert patched(pod({"name": "b"}, initContainers=inits[:1])) == pod(
        {"name": "b"}, initContainers=inits[:1]
    )


def test_what_was_there_is_chained_in_its_place() -> None:
    env = [{"name": "LD_PRELOAD", "value": "/own.so"}, {"name": "Z", "value": "$(LD_PRELOAD)"}]
    own = {"name": "a", "resources": GPU, "env": env}
    first, second = patched(pod(own, {"name": "i", "resources": GPU}), {"i": "/image.so", "a": "/no.so"})[
        "spec"
    ]["containers"]
    assert preload(first) == f"{LIBRARY}:/own.so"
    assert [one["name"] for one in first["env"]] == [
        "LD_PRELOAD",
        "Z",
        *(one["name"] for one in variables(lambda path, _: path)),
    ]
    assert preload(second) == f"{LIBRARY}:/image.so"


@pytest.mark.parametrize(
    "spec",
    [
        pod({"name": "a"}),
        pod({"name": "a", "resources": GPU}, volumes=[{"name": "offbus-lib", "emptyDir": {}}]),
        pod({"name": "a", "resources": GPU, "env": [{"name": "LD_PRELOAD", "valueFrom": {"fieldRef": {}}}]}),
    ],
    ids=["no GPUs", "loaded", "from elsewhere"],
)
def test_a_pod_that_is_left_alone(spec: dict[str, Any]) -> None:
    assert patched(spec) == spec


def test_twice_is_as_once() -> None:
    once = patched(pod({"name": "a", "resources": GPU}))
    assert patched(once) == once


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"request": 1}',
        review(pod(), operation="DELETE"),
        review(pod(), kind={"kind": "Node"}),
        review(None),
        review({"spec": {"containers": [1]}}),
        review({"spec": {"containers": [{"resources": GPU, "env": [{}]}]}}),
        review(pod({"name": "a", "resources": {"limits": {"nvidia.com/gpu": "many"}}})),
    ],
)
def test_what_is_no_review_of_a_pod_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        reviewed(body, {})


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=80), max_size=5))
def test_a_path_says_what_it_was_made_of(images: dict[str, str]) -> None:
    path = path_of(images)
    assert images_of(path) == images
    assert all(0 < len(one) <= 63 and one.isalnum() for one in path.split("/")[1:])


@pytest.mark.parametrize(
    "path", ["/", "/load/", "/load/zz", "/load/7b", "/load/5b5d", "/load/../x", "/load" + "/7b" * 5000]
)
def test_a_path_that_says_nothing_is_refused(path: str) -> None:
    with pytest.raises(Invalid):
        images_of(path)


def test_a_path_that_would_be_too_long_is_refused() -> None:
    with pytest.raises(Invalid, match="more LD_PRELOADs than fit"):
        path_of({"c": "x" * 5000})


def test_the_certificate_is_trusted_by_who_was_given_it_under_its_name_and_by_nobody_else() -> None:
    name, other = "offbus-webhook.offbus-system.svc", "kubernetes.default.svc"
    mine, stranger = new_identity([name]), new_identity([name])
    assert shakes_hands(mine.context, mine.certificate, name)
    assert not shakes_hands(mine.context, mine.certificate, other)
    assert not shakes_hands(stranger.context, mine.certificate, name)
    assert "PRIVATE" not in mine.certificate


def shakes_hands(server: ssl.SSLContext, trusted: str, name: str) -> bool:
    here, there = socket.socketpair()
    client = ssl.create_default_context(cadata=trusted)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as Go takes a leaf that is itself trusted

    def serve() -> None:
        try:
            server.wrap_socket(there, server_side=True).close()
        except (ssl.SSLError, OSError):
            there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(here, server_hostname=name).close()
    except ssl.SSLError:
        return False
    finally:
        here.close()
        thread.join(timeout=30)
    return True
