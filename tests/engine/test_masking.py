"""What a program that was sent a secret may make of it is left out of texts, and nothing else is."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.masking import HIDDEN, Masking

PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "repr": repr,
    "repr of bytes": lambda one: repr(one.encode()),
    "JSON": json.dumps,
    "JSON in JSON": lambda one: json.dumps(json.dumps(one)),
    "numbers": lambda one: "".join(f"\\u{ord(char):04X}" for char in one),
    "slashes": lambda one: json.dumps(one).replace("/", "\\/"),
    "percent": lambda one: quote(one, safe=""),
    "a form": quote_plus,
    "percent twice": lambda one: quote(quote(one, safe=""), safe=""),
    "HTML": html.escape,
    "HTML by numbers": lambda one: "".join(f"&#x{ord(char):x};" for char in one),
    "JSON in HTML": lambda one: html.escape(json.dumps(one)),
    "base64": lambda one: base64.b64encode(f"u:{one}".encode()).decode(),
}


def masking(*values: str) -> Masking:
    made = Masking()
    for one in values:
        made.learn(one)
    return made


@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
@given(value=PRINTABLE)
def test_no_spelling_of_a_secret_stays(spelt: Callable[[str], str], value: str) -> None:
    told = masking(value).text(f"the key {spelt(value)} is wrong")
    assert HIDDEN in told
    around = told.removeprefix("the key ").removesuffix(" is wrong")
    # Quotes of a spelling stay, and in base64 what is beside it.
    assert len(around.replace(HIDDEN, "")) <= 14


@given(value=PRINTABLE, more=PRINTABLE)
def test_of_two_secrets_of_which_one_begins_the_other_nothing_stays(value: str, more: str) -> None:
    for order in ((value, value + more), (value + more, value)):
        assert masking(*order).text(f"<{value}{more}>") == f"<{HIDDEN}>"


def test_two_secrets_that_overlap_leave_no_rest() -> None:
    assert masking("abcdefgh-1", "fgh-12345").text("abcdefgh-12345") == HIDDEN


def test_a_short_secret_is_masked_where_it_stands_alone() -> None:
    assert masking("79").text("xid 79 at 1790, key=79") == f"xid {HIDDEN} at 1790, key={HIDDEN}"


def test_a_log_has_the_lines_of_a_key_one_by_one() -> None:
    made = masking("-----BEGIN-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n")
    assert made.text("x kqhkiG9w0BAQEF\nMIIEvQIBADANBg") == f"x {HIDDEN}\n{HIDDEN}"


@given(st.text())
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert masking("planted-secret-7f3c/+").text(text) == text


def test_a_target_that_trims_what_it_was_sent_is_masked() -> None:
    assert masking(" planted secret 1 ").text('"planted secret 1"') == f'"{HIDDEN}"'


def test_texts_of_values_are_masked_and_their_structure_stays() -> None:
    value = {"status": 401, "why": ["planted-secret-1", None], "planted": True}
    assert masking("planted-secret-1").json(value) == {**value, "why": [HIDDEN, None]}
