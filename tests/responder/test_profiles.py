"""The profiles of the stand-in: which release of NVSentinel it plays, rule by rule, and at which scale."""

import json
from functools import partial
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.errors import UsageError
from offbus.language.shape import apply
from offbus_sandbox.local.options import LocalOptions
from offbus_sandbox.responder.config import Breaker, ResponderConfig, load_config
from offbus_sandbox.responder.profiles import DELAYS, PROFILES, SHORTEST, Mark, ProfileName
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.containers import STANDIN_PROFILE
from offbus_steps.nvsentinel.standin import Standin
from offbus_steps.port import Ref
from tests.kits.steps.timed_port import pod
from tests.kits.virtual_time import in_virtual_time, meanwhile
from tests.responder.test_responder_in_time import FATAL, HEALTHY, NODE, States, responding, tell

MAIN = PROFILES["main-2026-08"]


def config(**given: Any) -> ResponderConfig:
    return ResponderConfig.model_validate(given)


def test_every_name_has_its_profile() -> None:
    assert set(PROFILES) == set(get_args(ProfileName))
    assert all(name == one.name for name, one in PROFILES.items())


@pytest.mark.parametrize("name", PROFILES)
def test_each_rule_says_how_it_is_known_and_sets_only_what_exists(name: str) -> None:
    profile = PROFILES[name]
    assert profile.rules.keys() == MAIN.rules.keys(), "each profile has its word on the same subjects"
    for rule in profile.rules.values():
        assert rule.says.endswith(".")
        assert rule.source
        assert rule.sets.keys() <= ResponderConfig.model_fields.keys()
    marks = {rule.mark for rule in profile.rules.values()}
    assert (Mark.SEEN in marks) == (name in ("main-2026-08", "fast")), "only main was run"
    assert (Mark.OWN in marks) == (name == "fast")


@pytest.mark.parametrize("name", PROFILES)
def test_the_settings_are_those_of_the_profile(name: str) -> None:
    found = config(profile=name).model_dump(mode="json")
    assert found["scale"] == PROFILES[name].scale
    for key, value in PROFILES[name].settings(PROFILES[name].scale).items():
        told = found[key]
        assert {k: told[k] for k in value} == value if isinstance(value, dict) else told == value, key


def test_main_takes_as_long_as_it_was_seen_to() -> None:
    """reference/nvsentinel-observed.md, "Node and events"."""
    found = config(profile="main-2026-08")
    assert (found.poll_s, found.drain_delay_s, found.drain_retry_s) == (15, 0.1, 10)
    assert 0.2 <= found.remediate_delay_s <= 0.3
    assert 3 <= found.janitor_delay_s <= 9
    assert (found.dedup_window_s, found.circuit_breaker.enabled) == (0, True)


def test_fast_is_main_at_a_twentieth_but_for_what_it_says() -> None:
    fast, scaled = (config(profile=name, scale=20).model_dump() for name in ("fast", "main-2026-08"))
    other = {name for name in fast if fast[name] != scaled[name]} - {"profile"}
    differing = [key for key, rule in PROFILES["fast"].rules.items() if rule != MAIN.rules[key]]
    assert other <= {key for name in differing for key in PROFILES["fast"].rules[name].sets}
    assert config() == config(profile="fast", scale=20)


@given(
    st.sampled_from(sorted(PROFILES)),
    st.floats(min_value=1, max_value=1000),
    st.dictionaries(st.sampled_from(["drain_retry_s", "poll_s", "dedup_window_s"]), st.floats(1, 500)),
)
def test_a_scale_divides_the_delays_and_nothing_else_and_what_is_set_counts(
    name: str, scale: float, given: dict[str, float]
) -> None:
    whole, found = config(profile=name, scale=1), config(profile=name, scale=scale, **given)
    for key in ResponderConfig.model_fields.keys() - given.keys() - {"profile", "scale"}:
        was, now = getattr(whole, key), getattr(found, key)
        if key in DELAYS:
            assert now <= was
            assert now >= min(was, SHORTEST)
        else:
            assert now == was, key
    assert all(getattr(found, key) == value for key, value in given.items())
    assert set(found.changed) <= given.keys()
    assert ResponderConfig.model_validate_json(found.model_dump_json()) == found


def test_a_breaker_that_is_set_in_part_keeps_the_profile_s_rest() -> None:
    assert config(profile="v1.33", circuit_breaker={"percentage": 30}).circuit_breaker == Breaker(
        enabled=True, percentage=30
    )


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"profile": "v2"}, "profile: Input should be 'fast', 'main-2026-08', 'v1.8' or 'v1.33'"),
        ({"scale": 0}, "scale: Input should be greater than 0"),
        ({"scale": "quick"}, "scale: Input should be a valid number"),
        ({"profile": ["fast"]}, "profile: Input should be"),
        ([], "the file: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, given: object, why: str) -> None:
    file = tmp_path / "responder.json"
    file.write_text(json.dumps(given))
    with pytest.raises(UsageError, match=why):
        load_config(str(file))


@in_virtual_time
async def test_main_plays_the_observed_times(tmp_path: Path) -> None:
    """A cordon, `draining` 0.1 s later, `drain-succeeded` at the next look, the request 0.25 s after it."""
    async with responding(tmp_path, config(profile="main-2026-08"), pod("web-1", "web", "node-1")) as port:
        states = States(port)
        left = partial(port.store.delete, Ref("Pod", "web-1", "drill"), grace_seconds=0)
        async with meanwhile((5, partial(tell, port, FATAL)), (8, left)):
            await anyio.sleep(100)
        steps = ("quarantined", "draining", "drain-succeeded", "remediation-succeeded")
        assert [states.at(one) for one in steps] == pytest.approx([5.1, 5.2, 15.2, 15.45])


@pytest.mark.parametrize(("name", "stays"), [("main-2026-08", True), ("v1.8", False), ("v1.33", True)])
@in_virtual_time
async def test_what_becomes_of_an_earlier_cordon(tmp_path: Path, name: str, stays: bool) -> None:
    async with responding(tmp_path, config(profile=name, circuit_breaker=Breaker())) as port:
        port.store.patch(NODE, {"spec": {"unschedulable": True}})
        async with meanwhile((0, partial(tell, port, FATAL)), (50, partial(tell, port, HEALTHY))):
            await anyio.sleep(100)
        node = port.store.get(NODE)
        assert bool(node["spec"].get("unschedulable")) is stays
        assert (names.UNCORDON_BY in node["metadata"]["labels"]) is not stays
        assert not node["metadata"].get("annotations")


@in_virtual_time
async def test_a_controller_says_what_it_plays(tmp_path: Path) -> None:
    async with responding(tmp_path, config(profile="v1.33", scale=5, drain_retry_s=7)) as port:
        await anyio.sleep(1)
        told = Standin.of(port.store.get(STANDIN_PROFILE)["data"])
        assert str(told) == "profile v1.33, delays 1:5; set otherwise: drain_retry_s"
        assert told.settings["circuit_breaker"]["enabled"] is True
        assert told.settings["poll_s"] == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"poll_s": 6},
        {"profile": "main-2026-08", "circuit_breaker": {"percentage": 40}},
        {"drain": [{"name": "*", "mode": "AllowCompletion"}], "janitor": "manual"},
    ],
)
def test_a_scenario_sets_it_as_a_file_does(settings: dict[str, Any]) -> None:
    options = apply(LocalOptions, {"responder": settings})
    assert options.config().responder == config(**settings)
