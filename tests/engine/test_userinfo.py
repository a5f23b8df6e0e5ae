"""No message, hint, journal or log repeats the credentials that a URL carries."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.cli.problems import print_error
from offbus.errors import StepError
from offbus.runner.attempts import outcome_of
from offbus.userinfo import userinfos, without_userinfo

SECRET = "pa55word"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "cannot reach https://me:pa55word@host:6443/api: refused",
            "cannot reach https://host:6443/api: refused",
        ),
        ("postgres://u:pa55word@a,u:pa55word@b/db", "postgres://b/db"),
        ("redis://:pa55word@cache", "redis://cache"),
        ("https://pa55word@github.com/x.git", "https://github.com/x.git"),
        ("'http://u:pa55@word@proxy:3128'", "'http://proxy:3128'"),
        (r'{"url":"https:\/\/u:pa55word@h\/"}', r'{"url":"https:\/\/h\/"}'),
        ("http://a/@b https://h?x=@y mail me@host a://b", "http://a/@b https://h?x=@y mail me@host a://b"),
    ],
    ids=["API server", "two hosts", "no user", "token", "@ in it", "escaped", "none"],
)
def test_urls_lose_their_userinfo(text: str, shown: str) -> None:
    assert without_userinfo(text) == shown
    assert [found for found in userinfos(text) if "pa55" in found] == userinfos(text)


@given(st.text(alphabet="a:/@ \\?#'", max_size=60))
def test_nothing_is_left_of_one(text: str) -> None:
    assert userinfos(without_userinfo(text)) in ([], [""])


def test_a_long_line_takes_no_longer_than_its_length() -> None:
    """Two million characters of what could become one."""
    assert without_userinfo("://" + "a" * 2_000_000).endswith("a")
    assert without_userinfo("://a:" * 400_000).endswith(":")


def test_errors_and_bugs() -> None:
    url = f"https://u:{SECRET}@host"
    err = StepError(f"no answer from {url}", hint=f"check {url}", evidence={"url": url})
    bug = outcome_of(ValueError(url))
    for told in (
        err.message,
        err.hint,
        str(err),
        repr(err),
        err.evidence,
        bug.message,
        bug.evidence["traceback"],
    ):
        assert SECRET not in str(told)
    assert err.message == "no answer from https://host"


def test_the_screen_and_the_bug_file(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ValueError(f"https://u:{SECRET}@host"))
    said = capsys.readouterr().err
    assert "https://host" in said
    bug = Path(said.rstrip().rpartition(" ")[2])
    assert SECRET not in said + bug.read_text()
    bug.unlink()


def test_the_log_of_programs_in_the_cluster() -> None:
    script = (
        "from offbus_steps.kubernetes.json_log import log_json\nimport structlog\nlog_json()\n"
        f"try: raise ValueError('https://u:{SECRET}@host')\n"
        f"except ValueError: structlog.get_logger().exception('lost', url='https://u:{SECRET}@host')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert '"url": "https://host"' in done.stderr
    assert SECRET not in done.stderr
