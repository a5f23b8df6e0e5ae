"""The commands that make a cluster as it was, for a person who finds residue: each name and value is one word."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.kubernetes.kubectl_fixes import kubectl_fix

RESET = (
    'kubectl -n nvsentinel patch configmap circuit-breaker -p \'{"data": {"status": "CLOSED"}}\' && '
    "kubectl -n nvsentinel rollout restart deployment fault-quarantine"
)


@pytest.mark.parametrize(
    ("item", "before", "command"),
    [
        ("Node/n1 spec.unschedulable", False, "kubectl uncordon n1"),
        ("Node/n1 spec.unschedulable", True, "kubectl cordon n1"),
        ("Node/n1 metadata.labels[a.b/c]", None, "kubectl label node n1 a.b/c-"),
        ("Node/n1 metadata.labels[a.b/c]", "d", "kubectl label node n1 a.b/c=d --overwrite"),
        (
            "Node/n1 metadata.annotations[c]",
            '[{"a": 1}]',
            "kubectl annotate node n1 'c=[{\"a\": 1}]' --overwrite",
        ),
        ("Node/n1 metadata.annotations[c]", "sha256:0123456789abcdef", None),
        ("Namespace/drill left by this run", None, "kubectl delete Namespace drill"),
        ("Deployment/drill/web left by this run", None, "kubectl -n drill delete Deployment web"),
        (
            "ConfigMap/nvsentinel/circuit-breaker circuit breaker tripped",
            None,
            f"find out which nodes tripped it, then: {RESET}",
        ),
        ("Agent/n1 faults", [], None),
        ("Pods of Deployment/a/b", {"count": 1}, None),
        ("Deployment/a/b the rest of its spec", "x", None),
    ],
)
def test_what_has_a_known_former_value_has_a_command(item: str, before: object, command: str | None) -> None:
    assert kubectl_fix(item, before) == command


@pytest.mark.parametrize(
    ("item", "before"),
    [
        ("Namespace/production left by this run", True),
        ("Pod/kube-system/--all left by this run", None),
        ("Secret/--kubeconfig=report.yaml left by this run", None),
        ("Deployment/--all/web left by this run", None),
        ("Node/--all spec.unschedulable", False),
        ("Node/--all metadata.labels[a]", None),
        ("Node/n1 metadata.labels[--all]", None),
        ("ConfigMap/--all/circuit-breaker circuit breaker tripped", None),
        ("ClusterRole/cluster-admin left by this run", None),
    ],
)
def test_what_a_journal_makes_up_is_no_command(item: str, before: object) -> None:
    """What was there before the run is nothing to delete, and an option is no name."""
    assert kubectl_fix(item, before) is None


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_what_others_wrote_is_one_word(value: str) -> None:
    said = kubectl_fix("Node/n1 metadata.labels[a]", value)
    assert value.startswith("sha256:") or shlex.split(str(said)) == [
        *("kubectl", "label", "node", "n1", f"a={value}", "--overwrite")
    ]


@given(st.text())
def test_a_name_is_one_that_kubernetes_allows(name: str) -> None:
    for item in (f"Node/{name} spec.unschedulable", f"Namespace/{name} left by this run"):
        said = kubectl_fix(item, None)
        assert said is None or shlex.split(said)[-1] == name
