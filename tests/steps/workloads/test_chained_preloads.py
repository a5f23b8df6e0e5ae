"""Which LD_PRELOAD of running pods is chained into the spec of their workload."""

from typing import Any

import pytest

from offbus.errors import StepError
from offbus_steps.workloads.shim_fields import preload_fields
from offbus_steps.workloads.shim_mounts import LIBRARY
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.steps.manifests import deployment

GPUS = {"limits": {"nvidia.com/gpu": "1"}}


def chain(running: list[str | None], written: str = "", names: tuple[str, ...] = ("vllm",)) -> str:
    """What is set behind the shim, with pods whose GPU containers have these values."""
    obj = deployment()
    container = obj["spec"]["template"]["spec"]["containers"][1]
    if written:
        container["env"].append({"name": "LD_PRELOAD", "value": written})
    found = []
    for number, value in enumerate(running):
        env = [] if value is None else [{"name": "LD_PRELOAD", "value": value}]
        listed: list[dict[str, Any]] = [{"name": one, "env": env, "resources": GPUS} for one in names]
        meta = {"name": f"p{number}", "labels": {"app": "mistral-7b"}}
        found.append({"metadata": meta, "spec": {"containers": listed}})
    (preload, *_) = preload_fields(workload_of(obj), found, lambda path, _: path)
    assert str(preload.intended["value"]).startswith(LIBRARY)
    return str(preload.intended["value"]).removeprefix(LIBRARY).removeprefix(":")


@pytest.mark.parametrize("running", [["/a.so", None], [None, "/a.so"], ["/a.so", "/b.so"], ["/a.so", ""]])
def test_a_pod_without_one_differs_from_one_with_it(running: list[str | None]) -> None:
    with pytest.raises(StepError, match=r"have different LD_PRELOADs in .*: .*a\.so") as refused:
        chain(running)
    assert "as a plain value" in refused.value.hint


@pytest.mark.parametrize(
    "value",
    ["$(HOME)/evil.so", "relative.so", "/a.so relative.so", "/a.so\t/b.so", "/" + "a" * 1024, "/a;b.so"],
)
def test_what_only_running_pods_have_is_a_list_of_plain_paths(value: str) -> None:
    with pytest.raises(StepError, match="is not chained: it may hold absolute paths"):
        chain([value, value])


@pytest.mark.parametrize(
    ("running", "written", "found"),
    [
        (["/a.so:/b.so", "/a.so:/b.so"], "", "/a.so:/b.so"),
        ([None, None], "", ""),
        ([], "libjemalloc.so.2", "libjemalloc.so.2"),
        (["libjemalloc.so.2"], "libjemalloc.so.2", "libjemalloc.so.2"),
        (["/op.so:libjemalloc.so.2"], "libjemalloc.so.2", "/op.so:libjemalloc.so.2"),
        ([None], "/a.so", "/a.so"),
    ],
    ids=["the operator's", "none", "the spec's", "as the spec's", "the operator's and the spec's", "not yet"],
)
def test_what_the_spec_has_itself_is_kept_as_it_is(
    running: list[str | None], written: str, found: str
) -> None:
    assert chain(running, written) == found
