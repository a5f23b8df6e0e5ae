"""The function `xid` of expressions says of each XID what the catalogue and the responder's rule say."""

import shutil
from pathlib import Path

import pytest

from offbus.findings.invalid_scenario import InvalidScenario
from offbus.language.load import load_cells
from offbus_agent.catalogue.catalogue import catalogue
from offbus_agent.catalogue.responder_action import KNOWING
from offbus_steps.inject.xid_function import XID
from tests.kits import REPOSITORY

MANIFEST = REPOSITORY / "scenarios" / "targets" / "deployment.yaml"
GUIDES = {
    79: "critical",
    48: "high",
    95: "critical",
    74: "high",
    119: "medium",
    120: "medium",
    43: "medium",
    94: "low",
}


def test_of_every_xid_of_the_catalogue() -> None:
    for number, entry in catalogue().items():
        facts, action = XID.call(number), entry.action(KNOWING)
        assert (facts.action, facts.cordons) == (action, action != "NONE")
        assert facts.repairs + facts.attention == facts.cordons
        assert facts.attention == (action == "CONTACT_SUPPORT")
        assert (facts.mnemonic, facts.sticky, facts.severity) == (
            entry.mnemonic,
            entry.sticky,
            GUIDES.get(number, "unknown"),
        )
        assert facts.planes[0] == "kernel"


def test_one_that_no_catalogue_has_is_an_error_of_the_expression() -> None:
    with pytest.raises(ValueError, match=r"XID 9999 is not in NVIDIA's catalogue"):
        XID.call(9999)


def test_the_shipped_scenario_is_right_for_each_of_its_cells() -> None:
    loaded = load_cells(REPOSITORY / "scenarios" / "xid.yaml")
    assert [one.inputs["xid"] for one in loaded.scenarios] == [79, 48, 95, 74, 119, 120, 140, 43, 94]


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("xid(79).cordon", "has no field 'cordon'"),
        ("xid('79').cordons", "does not take string"),
        ("xid(79).severity == 3", "does not take string and int"),
        ("xid(79)", "gives a whole object"),
    ],
)
def test_a_wrong_use_is_a_finding(tmp_path: Path, condition: str, says: str) -> None:
    shutil.copy(MANIFEST, tmp_path)
    path = tmp_path / "drill.yaml"
    path.write_text(
        "offbus: 1\nname: x\nenvironment: {uses: local}\nsteps:\n"
        f'  - {{id: a, uses: deploy, with: {{manifest: {MANIFEST.name}}}, when: "{condition}"}}\n'
    )
    with pytest.raises(InvalidScenario) as refused:
        load_cells(path)
    assert any(says in one.message for one in refused.value.findings), refused.value.findings
