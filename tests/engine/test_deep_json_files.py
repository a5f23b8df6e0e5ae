"""Files of a run folder that hold JSON nested too deeply are damaged files, and no bug of ours."""

import pytest

from offbus.journal.lock import holder_of
from offbus.runs import RunFolder

DEEP = b"[" * 4_000


def test_a_lock_says_nothing(tmp_path) -> None:
    (tmp_path / "lock").write_bytes(DEEP)
    assert holder_of(tmp_path / "lock") is None


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"pid": 1}', b'{"pid": true}', b'{"pid": "1"}', b"\xff"]
)
def test_a_lock_of_another_form_says_nothing(tmp_path, content) -> None:
    (tmp_path / "lock").write_bytes(content)
    assert holder_of(tmp_path / "lock") is None


def test_what_an_unfinished_run_acts_on_is_not_known(tmp_path) -> None:
    (tmp_path / "unfinished").write_bytes(DEEP)
    assert RunFolder(tmp_path).identity is None
