"""Which namespace is meant when none is named: the one that kubectl would take."""

from pathlib import Path

import pytest
import yaml

from offbus_steps.kubernetes.rest.connection import Login


def kubeconfig(folder: Path, **contexts: dict[str, str]) -> Path:
    listed = [
        {"name": name, "context": {"cluster": "c", "user": "u", **more}} for name, more in contexts.items()
    ]
    path = folder / "config"
    path.write_text(
        yaml.safe_dump({"clusters": [], "users": [], "contexts": listed, "current-context": "here"})
    )
    return path


@pytest.mark.parametrize(
    ("context", "namespace"),
    [("", "prod"), ("here", "prod"), ("there", "default"), ("nowhere", "default"), ("empty", "default")],
)
def test_it_is_that_of_the_context(tmp_path: Path, context: str, namespace: str) -> None:
    path = kubeconfig(tmp_path, here={"namespace": "prod"}, there={}, empty={"namespace": ""})
    assert Login(str(path), context).namespace == namespace


@pytest.mark.parametrize("text", [None, "[]", "a: b: c"], ids=["no file", "no kubeconfig", "no YAML"])
def test_without_a_kubeconfig_it_is_default(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config").write_text(text)
    assert Login(str(tmp_path / "config")).namespace == "default"
