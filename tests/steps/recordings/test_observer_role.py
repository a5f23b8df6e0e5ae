"""The role that docs/observe.md shows is what a recorder needs, and no more."""

from offbus_steps.kinds import KINDS
from offbus_steps.recordings.access import RECORDER_ACCESS
from tests.kits.steps.observer_role import shown_role


def test_the_role_of_the_page_is_what_the_recorder_declares() -> None:
    given = {
        (group, resource, verb)
        for rule in shown_role()["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    kinds = [(KINDS[one.kind], one.verb) for one in RECORDER_ACCESS]
    groups = [(kind.api_version.rpartition("/")[0], kind.plural, verb) for kind, verb in kinds]
    assert given == set(groups)
    assert {verb for _, _, verb in given} == {"list", "watch"}
