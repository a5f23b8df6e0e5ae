"""What a stand-in says of itself, which is somebody's text."""

import json
from typing import Any

import pytest

from offbus_steps.nvsentinel.containers import STANDIN_PROFILE
from offbus_steps.nvsentinel.settings import checks_of
from offbus_steps.nvsentinel.standin import Standin
from offbus_steps.port import Object
from tests.steps.nvsentinel.test_circuit_breaker import config, node, standin

GPU_NODES = [node(name) for name in ("a", "b", "c")]
SETTINGS = {"profile": "fast", "scale": 20.0, "dedup_window_s": 180.0, "dry_run": False}


def told(plays: str = "main-2026-08", changed: str = "", **settings: Any) -> dict[str, str]:
    return {"plays": plays, "changed": changed, "settings": json.dumps({**SETTINGS, **settings})}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (told(), "profile fast (main-2026-08), delays 1:20"),
        (told("v1.8", profile="v1.8", scale=1), "profile v1.8, delays 1:1"),
        (
            told(changed="drain_delay_s drain"),
            "profile fast (main-2026-08), delays 1:20; set otherwise: drain_delay_s, drain",
        ),
        ({}, "it does not say which release it plays"),
        ({"longest_way_s": "1"}, "it does not say which release it plays"),
        ({"settings": "[" * 9999}, "it does not say which release it plays"),
        ({"settings": "[]", "changed": "x"}, "it does not say which release it plays"),
        (told("\x1b[31m", profile="fast", scale="nan"), "profile fast, delays 1:1"),
        (told("x" * 99, changed="a\x07b " + "y" * 99, scale=-3), "profile fast, delays 1:1"),
        (told(profile="<script>"), "it does not say which release it plays"),
    ],
)
def test_only_words_and_numbers_are_told_on(data: dict[str, str], text: str) -> None:
    assert str(Standin.of(data)) == text


def published(**settings: Any) -> Object:
    return {**config(STANDIN_PROFILE.name, "settings", ""), "data": told(**settings)}


def plan(*objects: Object) -> list[str]:
    deployments, maps = ([one for one in objects if key in one] for key in ("spec", "data"))
    return [one.text for one in checks_of(deployments, maps, GPU_NODES)]


def test_a_plan_names_the_profile_and_where_it_stands() -> None:
    found = plan(standin(), published())
    assert found[0] == (
        "the stand-in responder in nvsentinel: profile fast (main-2026-08), delays 1:20 "
        "(ConfigMap/nvsentinel/standin-responder settings)"
    )
    assert plan(standin())[0] == "the stand-in responder in nvsentinel", "one of offbus 0.1 says nothing"


def test_what_follows_from_the_profile_counts_where_the_configuration_is_silent() -> None:
    found = plan(standin(), published(dedup_window_s=0, dry_run=True))
    assert not [one for one in found if "deduplication" in one]
    assert any("dry run (ConfigMap/nvsentinel/standin-responder settings.dry_run)" in one for one in found)


def test_the_breaker_of_a_profile_is_on_though_no_file_says_so() -> None:
    breaker = json.dumps({"enabled": True, "percentage": 50, "duration_s": 300, "namespace": "nvsentinel"})
    found = plan(standin(), config(STANDIN_PROFILE.name, "circuit_breaker", breaker))
    assert any(
        "50 %: ConfigMap/nvsentinel/standin-responder circuit_breaker.percentage" in one for one in found
    )
