"""Objects: create, read, conditional merge patch, status, deletion with a precondition."""
# ruff: noqa: S101  this is a test suite that ships

import pytest

from offbus_steps.port import Conflict, Invalid, NotFound, Port, Ref
from offbus_steps.testing.conformance.manifests import budget, config_map, deployment, patch_of

__all__ = ["ObjectsConformance"]

WRONG_UID = "00000000-0000-4000-8000-000000000000"


class ObjectsConformance:
    """See the package's docstring for the fixtures."""

    async def test_a_created_object_is_read_back_with_identity(self, port: Port, namespace: str) -> None:
        made = await port.objects.create(config_map(namespace))
        read = await port.objects.get(Ref("ConfigMap", "c", namespace))
        assert read == made
        assert read["data"] == {"a": "1", "b": "2"}
        assert {"uid", "resourceVersion", "creationTimestamp"} <= read["metadata"].keys()

    async def test_creating_twice_is_a_conflict(self, port: Port, namespace: str) -> None:
        await port.objects.create(config_map(namespace))
        with pytest.raises(Conflict):
            await port.objects.create(config_map(namespace))

    async def test_a_dry_run_shows_the_object_and_stores_nothing(self, port: Port, namespace: str) -> None:
        shown = await port.objects.create(config_map(namespace), dry_run=True)
        assert {"uid", "creationTimestamp"} <= shown["metadata"].keys()
        assert shown["data"] == {"a": "1", "b": "2"}
        with pytest.raises(NotFound):
            await port.objects.get(Ref("ConfigMap", "c", namespace))
        await port.objects.create(config_map(namespace))
        with pytest.raises(Conflict):
            await port.objects.create(config_map(namespace), dry_run=True)

    async def test_a_missing_object_is_not_found(self, port: Port, namespace: str) -> None:
        missing = Ref("ConfigMap", "missing", namespace)
        with pytest.raises(NotFound):
            await port.objects.get(missing)
        with pytest.raises(NotFound):
            await port.objects.patch(missing, {"data": {}})
        with pytest.raises(NotFound):
            await port.objects.delete(missing)

    @pytest.mark.parametrize(
        "name", ["No-Capitals", "../up", "a/b", ""], ids=["capitals", "dots", "slash", "empty"]
    )
    async def test_a_bad_name_is_invalid(self, port: Port, namespace: str, name: str) -> None:
        with pytest.raises(Invalid):
            await port.objects.create(config_map(namespace, name))

    async def test_an_unknown_kind_is_invalid(self, port: Port, namespace: str) -> None:
        with pytest.raises(Invalid):
            await port.objects.get(Ref("Teapot", "t", namespace))

    async def test_list_keeps_to_namespace_and_labels(self, port: Port, namespace: str) -> None:
        await port.objects.create(config_map(namespace, "one", color="red", size="s"))
        await port.objects.create(config_map(namespace, "two", color="red", size="l"))
        await port.objects.create(config_map(f"{namespace}-b", "three", color="red"))
        assert await names(port, namespace, "color=red") == {"one", "two"}
        assert await names(port, namespace, "color=red,size=l") == {"two"}
        assert await names(port, namespace, "color=blue") == set()
        assert await names(port, namespace, "color in (red,blue),size notin (l)") == {"one"}
        assert await names(port, namespace, "color,!size") == set()
        assert {"one", "two", "three"} <= await names(port, "", "color=red")

    async def test_the_pages_of_a_list_are_the_list(self, port: Port, namespace: str) -> None:
        for name in ("one", "two", "three"):
            await port.objects.create(config_map(namespace, name, color="red"))
        asked = {"namespace": namespace, "labels": "color=red"}
        paged = [one async for page in port.objects.pages("ConfigMap", **asked) for one in page.items]
        assert paged == [*(await port.objects.list("ConfigMap", **asked)).items]
        assert len(paged) == 3

    async def test_a_patch_merges_and_null_removes(self, port: Port, namespace: str) -> None:
        await port.objects.create(config_map(namespace))
        ref = Ref("ConfigMap", "c", namespace)
        patched = await port.objects.patch(ref, {"data": {"a": None, "c": "3"}})
        assert patched["data"] == {"b": "2", "c": "3"}
        assert await port.objects.get(ref) == patched

    async def test_a_patch_replaces_lists_whole(self, port: Port, namespace: str) -> None:
        await port.objects.create(deployment(namespace))
        container = {"name": "other", "image": "none", "command": ["false"]}
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        patched = await port.objects.patch(Ref("Deployment", "d", namespace), patch)
        assert [c["name"] for c in patched["spec"]["template"]["spec"]["containers"]] == ["other"]

    async def test_a_conditional_patch_is_for_that_version_alone(self, port: Port, namespace: str) -> None:
        made = await port.objects.create(config_map(namespace))
        ref, version = Ref.of({**made, "kind": "ConfigMap"}), made["metadata"]["resourceVersion"]
        newer = await port.objects.patch(ref, patch_of(version, data={"a": "2"}))
        with pytest.raises(Conflict):
            await port.objects.patch(ref, patch_of(version, data={"a": "3"}))
        await port.objects.patch(ref, patch_of(newer["metadata"]["resourceVersion"], data={"a": "4"}))
        assert (await port.objects.get(ref))["data"]["a"] == "4"

    async def test_a_patch_that_changes_nothing_makes_no_version(self, port: Port, namespace: str) -> None:
        made = await port.objects.create(config_map(namespace))
        same = await port.objects.patch(Ref("ConfigMap", "c", namespace), {"data": {"a": "1"}})
        assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    async def test_spec_and_status_are_patched_apart(self, port: Port, namespace: str) -> None:
        # a budget that selects nothing: its controller may write its own conditions once, and never these fields
        await port.objects.create(budget(namespace, "nobody", minimum=1))
        ref = Ref("PodDisruptionBudget", "nobody", namespace)
        both = {"spec": {"minAvailable": 2}, "status": {"conditions": [CONDITION]}}
        spec_only = await port.objects.patch(ref, both)
        assert spec_only["spec"]["minAvailable"] == 2
        assert CONDITION not in spec_only.get("status", {}).get("conditions", [])
        status_only = await port.objects.patch(ref, {**both, "spec": {"minAvailable": 3}}, status=True)
        assert status_only["spec"]["minAvailable"] == 2
        assert status_only["status"]["conditions"] == [CONDITION]

    async def test_generation_counts_changes_of_the_spec_alone(self, port: Port, namespace: str) -> None:
        made = await port.objects.create(deployment(namespace))
        ref = Ref("Deployment", "d", namespace)
        labelled = await port.objects.patch(ref, {"metadata": {"labels": {"a": "b"}}})
        assert labelled["metadata"]["generation"] == made["metadata"]["generation"]
        changed = await port.objects.patch(ref, {"spec": {"minReadySeconds": 1}})
        assert changed["metadata"]["generation"] > made["metadata"]["generation"]

    async def test_deletion_with_a_uid_is_for_that_object_alone(self, port: Port, namespace: str) -> None:
        made = await port.objects.create(config_map(namespace))
        ref = Ref("ConfigMap", "c", namespace)
        with pytest.raises(Conflict):
            await port.objects.delete(ref, uid=WRONG_UID)
        await port.objects.delete(ref, uid=made["metadata"]["uid"])
        with pytest.raises(NotFound):
            await port.objects.get(ref)

    async def test_an_object_made_again_has_another_uid(self, port: Port, namespace: str) -> None:
        first = await port.objects.create(config_map(namespace))
        await port.objects.delete(Ref("ConfigMap", "c", namespace))
        second = await port.objects.create(config_map(namespace))
        assert first["metadata"]["uid"] != second["metadata"]["uid"]


CONDITION = {
    "type": "DisruptionAllowed",
    "status": "False",
    "reason": "Conformance",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


async def names(port: Port, namespace: str, labels: str) -> set[str]:
    """The ConfigMaps that a list answers."""
    found = await port.objects.list("ConfigMap", namespace=namespace, labels=labels)
    return {obj["metadata"]["name"] for obj in found.items}
