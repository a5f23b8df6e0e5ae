"""Text of any length costs in proportion to its length, whoever wrote it: it is read while faults are undone."""

import re
from dataclasses import dataclass, replace
from itertools import pairwise, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offbus_steps.deploy import secrets_in_text
from offbus_steps.deploy.redaction import LEFT_OUT, SHORT_PART, Redaction
from offbus_steps.deploy.secrets_in_text import RULES, Rule, secret_queries, secrets_of_words

pytestmark = pytest.mark.timeout(60)

SIZE = 1 << 17
"""Characters; what grows with the square takes minutes for as many."""
UNITS = (
    *(
        "x",
        "hello world\n",
        "://",
        "a://",
        "a://b",
        "a://x?",
        "a://x?$",
        "b:",
        "a:",
        "a+",
        "//",
        "@",
        "a://a@",
    ),
    *(
        "bearer ",
        "authorization: ",
        "authorization:",
        "?a=",
        "?token=$",
        "?token=1&",
        "&",
        "&aaaa",
        "a=b ",
        "a=,",
    ),
    *(
        "token=$",
        "token=\\$",
        'token="',
        "token='",
        "token=1,",
        "AB=",
        "AB='",
        "AB=\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\$",
    ),
    *(
        "password=hunter22 ",
        "password=",
        "password: $",
        "password: |\n ",
        "password: x,",
        "a: ",
        "a:|\n",
        "a: |\n",
    ),
    *(
        "user : ",
        "user: >-\n",
        " \n",
        " ",
        "\t",
        "\\",
        "'",
        '"',
        '"a":',
        '["a",',
        'x="\\',
        '"a":\\\\\\',
        '"a":[',
    ),
    *(
        '"password":[',
        '\\"a\\": \\"',
        '"token":$',
        '"token": \\"\\"',
        "-H a: ",
        "-H 'a:",
        "-H x:$",
        "-u a:",
        "-u ",
        "-H ",
    ),
    *(
        "--a ",
        "--token ",
        "--token $",
        "--token=1 ",
        "-",
        "a.b-",
        "redis-cli ",
        "redis-cli -a $",
        "mysql -p ",
        "sshpass -p",
    ),
)
"""Each of these, again and again, made some reader begin again and again."""


def text_of(unit: str, size: int = SIZE) -> str:
    return unit * (size // len(unit))


@pytest.mark.parametrize("unit", UNITS)
def test_a_log_of_one_line(unit: str) -> None:
    Redaction().text(text_of(unit, 4 * SIZE))


@pytest.mark.parametrize("unit", UNITS)
def test_a_string_of_an_object(unit: str) -> None:
    Redaction().object({"args": [text_of(unit)], "message": text_of(unit)})


@pytest.mark.parametrize(
    "words", [["a"], ["-H", "a"], ["-u", "a"], ["--token", "a"], ["redis-cli"], ["-a", "/a"]]
)
def test_a_list_of_very_many_words(words: list[str]) -> None:
    Redaction().object({"args": words * (20_000 // len(words))})


@pytest.mark.parametrize("option", ["-H", "-u", "--header", "--user", "--token"])
@pytest.mark.parametrize("unit", ["a", "a-", "a:", ":", "a b", "//", "$"])
def test_a_long_word_after_an_option(option: str, unit: str) -> None:
    Redaction().object({"args": [option, text_of(unit)]})


@given(
    st.lists(st.sampled_from(["?token=abcdefgh", "&x=1", "y" * 40, "&token=s3cr3t?sig=t", " "]), max_size=40)
)
def test_the_queries_of_a_log_are_the_same_in_parts(pieces: list[str]) -> None:
    text = "".join(pieces)
    parts = [one for start in range(0, len(text), 50) for one in secret_queries(text, start, start + 50)]
    covered = [at for one in parts for at in range(one.start, one.end)]
    whole = [at for one in secret_queries(text, 0, len(text)) for at in range(one.start, one.end)]
    assert set(covered) == set(whole)


def test_very_many_secrets() -> None:
    text = text_of("password=hunter22 ")
    shown = Redaction().object({"args": [text]})["args"][0]
    assert shown == f"password={LEFT_OUT} " * (SIZE // 18)


@dataclass
class Reading:
    """A pattern that counts the characters that it has gone over."""

    pattern: re.Pattern[str]
    read: list[int]

    def search(self, text: str, at: int, until: int) -> re.Match[str] | None:
        return self._counted(self.pattern.search(text, at, until), text, at)

    def match(self, text: str, at: int) -> re.Match[str] | None:
        return self._counted(self.pattern.match(text, at), text, at)

    def _counted(self, found: re.Match[str] | None, text: str, at: int) -> re.Match[str] | None:
        self.read.append(found.end() - at if found else 0)
        return found


def gone_over(rule: Rule, text: str) -> int:
    """How many characters the rule's patterns have gone over, with how many looks."""
    read: list[int] = []
    counting = replace(rule, head=Reading(rule.head, read), value=Reading(rule.value, read))  # type: ignore[arg-type]
    list(counting.find(text))
    return sum(read) + len(read)


ALL_RULES = [*RULES, secrets_in_text._PARAMETER, secrets_in_text._HEADER_WORD, secrets_in_text._USER_WORD]
PIECES = st.sampled_from([*UNITS, "$", "\n", ";", "&", "1", "=", "a", "token", "Accept", "https"])


@pytest.mark.parametrize("unit", UNITS)
def test_what_a_rule_goes_over_is_in_proportion(unit: str) -> None:
    for rule in ALL_RULES:
        once, twice = (gone_over(rule, text_of(unit, size)) for size in (10_000, 20_000))
        assert twice <= 2 * once + 100, rule.head.pattern


@settings(deadline=None)
@given(pieces=st.lists(PIECES, min_size=1, max_size=6))
def test_what_a_rule_goes_over_is_in_proportion_for_any_pieces(pieces: list[str]) -> None:
    unit = "".join(pieces)
    for rule in ALL_RULES:
        once, twice = (gone_over(rule, unit * count) for count in (100, 200))
        assert twice <= 2 * once + 100 * len(unit), rule.head.pattern


@given(
    st.lists(
        st.sampled_from(["-a", "-p", "-w", "redis-cli", "/usr/bin/mysql", "ldapsearch", "x", "$x", "--token"])
    )
)
def test_the_words_of_a_program_are_read_as_if_one_looked_back_from_each(words: list[str]) -> None:
    """The law of one pass: the password of a program is found as when all words before are looked at."""
    programs = {"-a": ("redis-cli",), "-p": ("/usr/bin/mysql",), "-w": ("ldapsearch",)}
    found = {number for number, _ in secrets_of_words(words)}
    for number, (option, word) in enumerate(pairwise(words), 1):
        if word == "x" and any(one in words[:number] for one in programs.get(option, ())):
            assert number in found


def test_a_long_line_is_cut_and_no_part_of_a_secret_stays() -> None:
    redaction = Redaction()
    value = "s3cr3t-" + "".join(f"{n:04}" for n in range(50))
    redaction.object({"env": [{"name": "API_KEY", "value": value}]})
    for before in range(0, 3 * len(value), 7):
        line = "y" * (16 * 1024 - before) + value + "z" * 40_000
        shown = redaction.text(f"first\n{line}\nlast {value}\n")
        assert shown.startswith("first\nyyy")
        assert "s3cr" not in shown
        assert value[-8:] not in shown
        assert shown.endswith(f"\nlast {LEFT_OUT}\n")
        assert len(shown) < 20_000


def test_lines_are_masked_in_pieces_between_which_others_run() -> None:
    """Each look is bounded: whoever drives the masking may stop between any two."""
    redaction = Redaction()
    values = [f"value-{number:04}" for number in range(200)]
    redaction.object({"env": [{"name": "API_KEY", "value": one} for one in values]})
    steps, shown = 0, ""
    text = text_of(" ".join(values)) + "\n".join(values * 50)
    masking = redaction.masking(text)
    for _ in repeat(None):
        try:
            next(masking)
        except StopIteration as end:
            shown = end.value
            break
        steps += 1
    assert steps >= len(text) // SHORT_PART >= 10
    assert "value-" not in shown
