"""Pods' folders of events where the helper gives and removes them; what a pod does to its own is its own loss."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from offbus_agent.kmsg_helper import HelperUnreachable
from offbus_agent.page.events_folder import EventsFolder
from offbus_agent.page.pod_folders import HelperFolders
from tests.kits.agent.helper_world import RunningHelper, helper
from tests.kits.agent.node_world import POD, Node

GONE = "0a1b2c3d-0000-4000-8000-000000000002"
SOMEBODY = 4242
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder away")


@pytest.fixture
def running(node: Node) -> Iterator[RunningHelper]:
    with helper(node.root) as started:
        yield started


@pytest.fixture
def folder(node: Node, running: RunningHelper) -> EventsFolder:
    return EventsFolder(node.events.parents[1], HelperFolders(running.client))


def test_a_pods_folder_is_opened_for_its_processes(node: Node, folder: EventsFolder) -> None:
    node.events.parent.chmod(0o700)
    folder.read()
    assert node.events.parent.stat().st_mode & 0o777 == 0o755
    assert node.events.is_file()


def test_the_folder_of_a_pod_that_is_gone_is_removed_piece_by_piece(folder: EventsFolder) -> None:
    gone = folder.path / GONE
    (gone / "a/b/c").mkdir(parents=True)
    (gone / "a/b/file").write_text("x")
    folder.tidy({POD}, young_s=0, most=2)
    assert gone.is_dir()
    for _ in range(5):
        folder.tidy({POD}, young_s=0, most=2)
    assert [one.name for one in folder.pods()] == [POD]


@needs_root
def test_a_folder_that_was_given_away_reports_nothing_and_others_do(
    node: Node, folder: EventsFolder, caplog: pytest.LogCaptureFixture
) -> None:
    away = folder.path / GONE
    away.mkdir()
    os.chown(away, SOMEBODY, SOMEBODY)
    with caplog.at_level(logging.WARNING):
        folder.read()
        folder.read()
    assert caplog.text.count(f"pod {GONE} reports nothing from here on") == 1
    assert "belongs to another user" in caplog.text
    assert node.events.is_file()


@needs_root
def test_a_helper_that_is_away_is_not_a_pods_loss(
    node: Node, running: RunningHelper, folder: EventsFolder
) -> None:
    folder.read()
    os.chown(node.events.parent, SOMEBODY, SOMEBODY)
    running.stop()
    with pytest.raises(HelperUnreachable):
        folder.read()
    with pytest.raises(HelperUnreachable):
        folder.tidy(set(), young_s=0)
    assert Path(node.events.parent).is_dir()
