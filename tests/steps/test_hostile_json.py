"""JSON from outside that is nested too deeply is what it is: not the JSON that was asked for. json.loads raises
RecursionError for it, which is no ValueError."""

import gzip
import resource
import zlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from offbus.errors import CouldNotRun
from offbus_steps.kubernetes.ownership.run_records import events_in
from offbus_steps.kubernetes.rest.errors import status_in
from offbus_steps.kubernetes.webhook.reviews import reviewed
from offbus_steps.nvsentinel.containers import STANDIN, ConfigFile
from offbus_steps.nvsentinel.deployed import deployed_in
from offbus_steps.port import Invalid, PortError, Ref, Reply
from offbus_steps.prepare.webhook_configuration import ROOT, images_of
from offbus_steps.workloads.gpus import DEVICES_ANNOTATION, held_gpus

DEEP = "[" * 5_000
SETTINGS = Ref("ConfigMap", "settings", "x")
KINDS = ("json", "toml", "yaml")
RECORDS: dict[str, Any] = {"metadata": {"name": "offbus-run-r", "namespace": "offbus-system"}}


def pretended() -> bool:
    """Whether the stand-in responder of a cluster only pretends, as far as its settings can be read."""
    settings = {"metadata": {"name": "settings", "namespace": "x"}, "data": {"config.json": DEEP}}
    container = {"name": "c", "command": ["python3", "-m", STANDIN, "controller"]}
    volume = {"name": "v", "configMap": {"name": "settings"}}
    spec = {
        "containers": [{**container, "volumeMounts": [{"name": "v", "mountPath": "/etc/x"}]}],
        "volumes": [volume],
    }
    deployment = {"metadata": {"name": "d", "namespace": "x"}, "spec": {"template": {"spec": spec}}}
    [requester] = deployed_in([{"kind": "Deployment", **deployment}], [settings]).requesters
    return requester.pretended


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (lambda: status_in(DEEP.encode()), None),
        (lambda: held_gpus({"metadata": {"annotations": {DEVICES_ANNOTATION: DEEP}}}), ()),
        (pretended, False),
        (lambda: [ConfigFile(SETTINGS, f"x.{kind}", DEEP).table() for kind in KINDS], [{}, {}, {}]),
    ],
    ids=["an error's status", "a pod's devices", "the stand-in's settings", "a ConfigMap"],
)
def test_what_is_optional_is_not_there(read: Callable[[], Any], found: Any) -> None:
    assert read() == found


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (lambda: Reply(200, {}, DEEP.encode()).json(), PortError),
        (lambda: reviewed(DEEP.encode(), None), Invalid),
        (lambda: events_in({**RECORDS, "data": {"1": DEEP}}), CouldNotRun),
        (
            lambda: events_in(
                {**RECORDS, "binaryData": {"fingerprint": b64encode(gzip.compress(DEEP.encode())).decode()}}
            ),
            CouldNotRun,
        ),
    ],
    ids=["an agent's answer", "a review", "a record", "a packed record"],
)
def test_what_is_needed_is_one_clear_error(read: Callable[[], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        read()


def test_a_webhooks_path() -> None:
    digits = ("[" * 1_200).encode().hex()
    path = ROOT + "".join(f"/{digits[at : at + 200]}" for at in range(0, len(digits), 200))
    with pytest.raises(Invalid):
        images_of(path)


def test_a_record_that_unpacks_to_more_than_an_event_may_be_is_given_up_early() -> None:
    """A third of a megabyte that unpacks to a gigabyte: more than that is never held."""
    pack = zlib.compressobj(9, wbits=31)
    packed = b"".join([*(pack.compress(bytes(1 << 20)) for _ in range(300)), pack.flush()])
    record = {**RECORDS, "binaryData": {"fingerprint": b64encode(packed).decode()}}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CouldNotRun, match="unpacks to more than 16777216 bytes"):
        events_in(record)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 200 * 1024


def packed(content: bytes) -> str:
    return b64encode(gzip.compress(content)).decode()


def test_many_packed_entries_are_refused_before_one_is_unpacked() -> None:
    """A ConfigMap holds ten entries that unpack to 63 MiB each. Only the fingerprint is ever packed."""
    entries = {str(number): packed(bytes(63 << 20)) for number in range(10)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CouldNotRun, match="only `fingerprint` may be packed"):
        events_in({**RECORDS, "binaryData": {"fingerprint": packed(b"{}"), **entries}})
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 50 * 1024


def test_a_fingerprint_of_countless_values_is_not_read() -> None:
    """Each takes twenty times its length once it is read."""
    with pytest.raises(CouldNotRun, match="holds more than 1048576 values"):
        events_in({**RECORDS, "binaryData": {"fingerprint": packed(b'{"a":[' + b"[]," * (5 << 20) + b"1]}")}})


@pytest.mark.parametrize("text", ["[]", "1", '"x"', "null", "{}", '{"kind": "residue"}'])
def test_a_record_that_is_no_event_is_damaged(text: str) -> None:
    with pytest.raises(CouldNotRun, match="damaged"):
        events_in({**RECORDS, "data": {"1": text}})
