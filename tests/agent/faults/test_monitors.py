"""Which process counts as the responder's monitor, and what it is known to know. Real processes, real files."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from offbus_agent.faults import monitors
from offbus_agent.faults.hidden import OwnLooks
from offbus_agent.faults.monitors import knowledge_of
from offbus_agent.metadata import read_metadata
from tests.kits.agent.node_world import GPU0, GPU1, Node, answer, list_gpus, monitor, process

NOBODY = 65534
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may be somebody else")
NOT_RECOGNISED = "is recognised here"


@pytest.fixture
def listed(node: Node) -> Path:
    return list_gpus(node, GPU0, GPU1)


@pytest.fixture
def real() -> Iterator[Path]:
    """A program of the real monitor's name, where every user finds it: pytest's own folders may be private."""
    with TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(shutil.copy("/bin/cat", Path(folder, "syslog-health-monitor")))


@contextmanager
def real_monitor(program: Path, *arguments: str) -> Iterator[int]:
    with process("monitor", *arguments, executable=str(program)) as started:
        yield started.pid


def why_not(node: Node, *, of_machine: bool = False) -> str:
    """With the machine's own log, the real monitors of tests that run beside this one count, too."""
    return knowledge_of(node.root, OwnLooks(Path("/")), of_machine=of_machine).why_not(GPU0)


@pytest.mark.usefixtures("listed")
class TestAMonitor:
    """What is taken for one."""

    def test_of_the_stand_in_is_known_by_its_arguments(self, node: Node) -> None:
        with monitor(node):
            assert why_not(node) == ""

    def test_of_the_stand_in_may_spell_its_root_in_two_words(self, node: Node) -> None:
        words = ("-m", "offbus_sandbox.responder", "detector", "--node", "n", "--root", str(node.root))
        with process("python3", *words):
            assert why_not(node) == ""

    @pytest.mark.parametrize("option", ["--metadata-path={}", "-metadata-path={}", "--metadata-path {}"])
    def test_of_nvsentinel_is_known_by_its_executable_and_reads_the_file_that_it_is_told(
        self, node: Node, listed: Path, real: Path, option: str
    ) -> None:
        with real_monitor(real, "--checks", "x", *option.format(listed).split()):
            assert why_not(node) == ""

    def test_whose_executable_was_replaced_is_one_still(self, node: Node, listed: Path, real: Path) -> None:
        with real_monitor(real, f"--metadata-path={listed}"):
            real.unlink()
            assert why_not(node) == ""

    def test_of_nvsentinel_that_reads_another_file_is_not_one_that_knows(
        self, node: Node, listed: Path, real: Path
    ) -> None:
        other = listed.with_name("other.json")
        other.write_bytes(listed.read_bytes())
        for arguments in ([f"--metadata-path={other}"], [], ["--metadata-path=gpu_metadata.json"]):
            with real_monitor(real, *arguments), monitor(node):
                assert "reads another file" in why_not(node, of_machine=True)
                assert why_not(node) == "", "a node that is a folder has a kernel log of its own"

    def test_of_another_node_of_the_sandbox_is_none_of_this_one(self, node: Node, tmp_path: Path) -> None:
        other = Node(tmp_path / "other")
        with monitor(other):
            list_gpus(other, GPU0)
            assert NOT_RECOGNISED in why_not(node)
            with monitor(node):
                assert why_not(node) == ""

    @pytest.mark.parametrize(
        "words",
        [
            pytest.param(("-m", "offbus_sandbox.responder", "janitor", "--root={}"), id="another-program"),
            pytest.param(("-m", "offbus_sandbox.responder detector", "--root={}"), id="one-word"),
            pytest.param(("-m", "offbus_sandbox.responder", "detector"), id="no-root"),
            pytest.param(("syslog-health-monitor", "--metadata-path", "{}"), id="a-name-as-an-argument"),
        ],
    )
    def test_is_not_what_only_looks_a_little_like_one(self, node: Node, words: tuple[str, ...]) -> None:
        with process("syslog-health-monitor", *(word.format(node.root) for word in words)):
            assert NOT_RECOGNISED in why_not(node)

    @needs_root
    def test_is_no_process_of_another_user_whatever_it_says_of_itself(
        self, node: Node, listed: Path, real: Path
    ) -> None:
        """An unprivileged user can neither make a line be written nor keep one from being written."""
        words = ("-m", "offbus_sandbox.responder", "detector", f"--root={node.root}")
        with ExitStack() as started:
            started.enter_context(process("python3", *words, user=NOBODY))
            started.enter_context(
                process("m", f"--metadata-path={listed}", executable=str(real), user=NOBODY)
            )
            assert NOT_RECOGNISED in why_not(node)
            list_gpus(node, GPU0)  # now they are older than the file
            with monitor(node):
                assert why_not(node) == ""


class TestItsKnowledge:
    """Of what the file lists."""

    def test_is_nothing_without_a_file(self, node: Node) -> None:
        with monitor(node):
            assert why_not(node) == "var/lib/nvsentinel/gpu_metadata.json does not list it"

    def test_is_not_certain_of_a_file_from_before_the_boot(
        self, node: Node, listed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        boottime_ns = monitors.boottime_ns
        with monitor(node):
            assert why_not(node) == ""
            monkeypatch.setattr(monitors, "boottime_ns", lambda: -boottime_ns())
            assert "is from before the node's boot" in why_not(node)
        assert listed.exists()

    def test_is_compared_by_the_change_of_the_inode(self, node: Node, listed: Path) -> None:
        before = read_metadata(node.root)
        os.utime(listed, (1, 1))
        after = read_metadata(node.root)
        assert before is not None
        assert after is not None
        assert after.file == before.file
        assert after.changed_ns >= before.changed_ns

    def test_ends_when_the_file_is_replaced(self, node: Node, listed: Path) -> None:
        with monitor(node):
            assert why_not(node) == ""
            new = listed.with_name("new")
            new.write_text(json.dumps({"gpus": [{"uuid": GPU0, "pci_address": "0000:3b:00.0"}]}))
            new.replace(listed)
            assert "is newer than the monitor" in why_not(node)


@needs_root
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare(1)")
class TestInAMountNamespaceOfItsOwn:
    """As every container is: the file is looked for in the process's own root."""

    def arranged(self, real: Path, *lines: str) -> ExitStack:
        script = "; ".join(["set -e", *lines, f'exec "{real}" -'])
        stack = ExitStack()
        started = stack.enter_context(
            subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        )
        stack.callback(started.kill)
        answer(started)
        return stack

    def test_a_bound_folder_is_the_node_s_own(self, node: Node, listed: Path, real: Path) -> None:
        with self.arranged(
            real,
            "mount -t tmpfs none /var/lib",
            "mkdir /var/lib/nvsentinel",
            f"mount --bind {listed.parent} /var/lib/nvsentinel",
        ):
            assert why_not(node) == ""

    def test_a_copy_is_not(self, node: Node, listed: Path, real: Path) -> None:
        with self.arranged(
            real,
            "mount -t tmpfs none /mnt",
            f"cp {listed} /mnt/copy.json",
            "mount -t tmpfs none /var/lib",
            "mkdir /var/lib/nvsentinel",
            "cp /mnt/copy.json /var/lib/nvsentinel/gpu_metadata.json",
        ):
            assert "reads another file" in why_not(node, of_machine=True)
            assert NOT_RECOGNISED in why_not(node)

    @pytest.mark.parametrize("what", ["folder", "file"])
    def test_a_link_is_not_followed(self, node: Node, listed: Path, real: Path, what: str) -> None:
        """It would be followed in our own root."""
        link = (
            f"ln -s {listed.parent} /var/lib/nvsentinel"
            if what == "folder"
            else f"mkdir /var/lib/nvsentinel; ln -s {listed} /var/lib/nvsentinel/gpu_metadata.json"
        )
        with self.arranged(real, "mount -t tmpfs none /var/lib", link):
            assert "reads another file" in why_not(node, of_machine=True)
            assert NOT_RECOGNISED in why_not(node)
