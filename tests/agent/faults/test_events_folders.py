"""The pods' folders of events on a node: who reaches them, what in them is not opened, when they go."""

import os
import stat

import pytest

from offbus_agent.page.events_folder import EventsFolder
from offbus_agent.planes.page_plane import NodePage, NodePageError
from tests.kits.agent.node_world import POD, request


def test_the_folder_of_a_pod_that_is_gone_is_removed(node):
    folder = EventsFolder(node.events.parents[1])
    gone = node.events.parents[1] / "0a1b2c3d-0000-4000-8000-000000000002"
    gone.mkdir()
    folder.read()
    (gone / "more").mkdir()
    folder.tidy({POD}, young_s=0)
    assert [one.name for one in folder.pods()] == [POD]
    folder.tidy(set())
    assert [one.name for one in folder.pods()] == [
        POD
    ]  # it is young: its first process may not have started yet


@pytest.mark.guarantee("G29")
def test_nobody_but_its_pod_reaches_a_folder_of_events(agents, node):
    """As an agent of 0.1 left them, and as the kubelet makes a pod's: with the mode of the folder above."""
    others, own = node.events.parents[1], node.events.parent
    others.chmod(0o755)
    own.chmod(0o700)
    agents.start()
    modes = [stat.S_IMODE(one.stat().st_mode) for one in (others, own, node.events)]
    assert modes == [0o700, 0o755, 0o666]


def test_a_folder_of_events_that_leads_elsewhere_is_refused(node, tmp_path):
    others = node.events.parents[1]
    others.rename(tmp_path / "elsewhere")
    others.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NodePageError, match="events"):
        NodePage.prepare(node.root)


@pytest.mark.guarantee("G29")
def test_links_pipes_and_devices_in_a_pods_folder_are_not_opened(agents, node):
    others = [node.events.parents[1] / f"0a1b2c3d-0000-4000-8000-00000000001{number}" for number in range(4)]
    for folder in others:
        folder.mkdir()
    (others[0] / "events").symlink_to(node.token_file)
    os.mkfifo(others[1] / "events")
    (others[2] / "events").mkdir()
    (others[3] / "events").write_text("x")
    token = node.token_file.read_bytes()
    agent = agents.start()
    agent.post("/faults", request(), expect=201)
    assert agent.get("/faults/f1")["state"] == "armed"
    assert node.token_file.read_bytes() == token
    log = agent.stop()[1]
    assert [log.count(folder.name + " reports nothing") for folder in others] == [1, 1, 1, 1]
