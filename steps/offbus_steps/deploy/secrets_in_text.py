r"""Where secrets stand in a string that may be a command line, a URL or a configuration, and in a command's words.

- `NAME=value` and `"NAME": "value"`, also in strings within strings (`\"NAME\": …`): a variable's name (`UPPER_CASE`)
  must be known to be harmless, or its value is a secret; any other name's is when the name sounds secret. So are
  `name: value` (YAML), `name = value` (INI, TOML), `--name value` and `config set name value` of several programs.
- The query of a URL, whatever it is called: signatures and tokens have many names.
- The value of a header that is not known to be harmless, and the password in `-u user:password`.
- Passwords that programs take as a short option (`redis-cli -a …`).

A value that comes from elsewhere (`$X`), or that is everyday (`true`, `8000`), is none. Pure.

Text of any length is read in linear time, whoever wrote it: a rule looks for names, and reads a value to its end only
behind a name that may have a secret, after which it goes on. What a value is, is then seen at its first characters.
A head is bounded, or no other head of its rule can begin within it; words are read once, from the first to the last.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from offbus_steps.deploy.harmless_names import is_harmless_env, is_harmless_header, sounds_secret

__all__ = ["EVERYDAY", "LEFT_OUT", "RULES", "Rule", "Secret", "secret_queries", "secrets_of_words"]

LEFT_OUT = "(left out by offbus)"
EVERYDAY = re.compile(r"(?i)|true|false|yes|no|on|off|none|null|auto|-?[0-9]{1,5}(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Secret:
    """One found value: its location, and whether its name says that it is a secret."""

    start: int
    end: int
    sure: bool


Judge = Callable[[str], bool | None]
"""By a name: whether it surely has a secret as its value; None when the value may be shown."""

_ELSEWHERE = re.compile(rf"""["'\\]{{0,16}}(?:\$|{re.escape(LEFT_OUT[:5])})""")
"""How a value begins that is no secret itself."""
_LONGEST_SHOWN = 64
"""Characters of a value that is read again although it was read to its end."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Secrets of one spelling."""

    head: re.Pattern[str]
    """What stands before the value, with the group `name`."""
    value: re.Pattern[str]
    judge: Judge

    def find(self, text: str, at: int = 0, until: int = sys.maxsize) -> Iterator[Secret]:
        """From the first to the last whose head is in this part of the text.

        A value that may be shown is read again: it may hold a secret of its own.
        """
        while head := self.head.search(text, at, until):
            at = head.end("name")
            sure = self.judge(head["name"])
            if sure is None or _ELSEWHERE.match(text, head.end()):
                continue
            if (value := self.value.match(text, head.end())) is None:
                continue
            start, end = value.span()
            if end - start > 1 and text[start] in "\"'" and text[start] == text[end - 1]:
                start, end = start + 1, end - 1
            if one := _is_one(text[start:end], everyday=sure):
                yield Secret(start, end, sure)
            if one or end - start > _LONGEST_SHOWN:
                at = value.end()


def secret_queries(text: str, start: int, end: int) -> Iterator[Secret]:
    """The parameters of URLs in a log that sound secret; the rest of a URL tells what was asked for.

    Those whose names begin in this part of the text; their values may go on after it.
    """
    return _PARAMETER.find(text, start, end + _LONGEST_PARAMETER)


def secrets_of_words(words: Sequence[str]) -> Iterator[tuple[int, Secret]]:
    """Those that only the word before, or the program, shows; by the number of the word."""
    option = ""
    of_programs: set[str] = set()
    """Short options for a password that the programs among the words before have."""
    for number, word in enumerate(words):
        whole = Secret(0, len(word), sure=True)
        if re.fullmatch(r"-[A-Za-z]{0,8}H|--(?:proxy-)?header", option):
            yield from ((number, one) for one in _HEADER_WORD.find(word))
        elif re.fullmatch(r"-[A-Za-z]{0,8}u|--(?:proxy-)?user", option):
            yield from ((number, one) for one in _USER_WORD.find(word))
        elif re.fullmatch(r"-[^=]+", option) and sounds_secret(option) and word[:1] != "-" and _is_one(word):
            yield number, whole
        before = tuple(words[max(number - 3, 0) : max(number - 1, 0)])
        if before in _SETTING and sounds_secret(option) and _is_one(word):
            yield number, whole
        for short in of_programs:
            if option == short and _is_one(word):
                yield number, whole
            elif word.startswith(short) and len(word) > len(short) and not word.startswith("--"):
                yield number, Secret(len(short), len(word), sure=True)
        name = word.rpartition("/")[2]
        of_programs |= {short for short, programs in _PROGRAMS.items() if re.fullmatch(programs, name)}
        option = word


def _is_one(value: str, *, everyday: bool = True) -> bool:
    bare = value.strip("\\\"'")
    known = bare == "" or bare.startswith(("$", LEFT_OUT[:5]))
    return not known and not (everyday and EVERYDAY.fullmatch(bare))


def _of_a_variable(name: str) -> bool | None:
    if re.fullmatch(r"[A-Z][A-Z0-9_]+", name):
        return None if is_harmless_env(name) else sounds_secret(name)
    return _if_it_sounds(name)


def _if_it_sounds(name: str) -> bool | None:
    return True if sounds_secret(name) else None


def _unless_harmless_header(name: str) -> bool | None:
    return None if is_harmless_header(name) else sounds_secret(name)


def _surely(_: str) -> bool:
    return True


def _rule(head: str, value: str, judge: Judge, flags: int = 0) -> Rule:
    return Rule(re.compile(head), re.compile(value, flags), judge)


_QUOTED = r""""(?:[^"\\]|\\.){0,4096}"|'[^']{0,4096}'"""
_NAME = r"(?<![\w.-])(?P<name>[A-Za-z_][\w.-]*)"
_OF_HEADER = r"""(?<!\S)(?:-[A-Za-z]{0,8}H|--(?:proxy-)?header)(?:=|[ \t]*)"""
_OF_USER = r"""(?<!\S)(?:-[A-Za-z]{0,8}u|--(?:proxy-)?user)(?:=|[ \t]*)"""
_HEADER_NAME, _USER_NAME = r"(?P<name>[\w-]+):[ \t]*", r"""(?P<name>[^\s:"']+):(?!//)"""
_TO_THE_QUOTE, _WORD = r"""[^"'\n]+""", r"\S+"
_PROGRAMS = {
    "-a": r"(?:redis|valkey|keydb)-cli",
    "-p": r"sshpass|mysql\w{0,20}|mariadb[\w-]{0,20}|mongo\w{0,20}",
    "-w": r"ldap(?:search|modify|add|delete|whoami|passwd)",
}
"""The short option for a password, and the programs that have it."""

_SETTING = (("configure", "set"), ("config", "set"))
"""The words before a name and its value: of the AWS CLI; of npm, gcloud, pip and others."""

_LONGEST_PARAMETER = 64
_PARAMETER = _rule(
    rf"(?<=[?&])(?P<name>[\w.-]{{1,{_LONGEST_PARAMETER}}})=", r"""[^\s&"'<>]+""", _if_it_sounds
)
_HEADER_WORD = _rule(r"(?<![\w-])(?P<name>[\w-]+):\s*", r".+", _unless_harmless_header, re.DOTALL)
_USER_WORD = _rule(r"(?<![^\s:])(?P<name>[^\s:]+):(?!//)", r".+", _surely, re.DOTALL)

RULES = (
    _rule(  # the query of a URL; what follows its "?" is read once, as no other URL begins before the value's end
        r"""(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}://(?P<name>[^\s"'<>?]{0,1024}\?)""",
        r"""[^\s"'<>]+""",
        lambda _: False,
    ),
    _rule(rf"""{_OF_HEADER}["']{_HEADER_NAME}""", _TO_THE_QUOTE, _unless_harmless_header),
    _rule(rf"{_OF_HEADER}{_HEADER_NAME}", _WORD, _unless_harmless_header),
    _rule(rf"""{_OF_USER}["']{_USER_NAME}""", _TO_THE_QUOTE, _surely),
    _rule(rf"{_OF_USER}{_USER_NAME}", _WORD, _surely),
    _rule(
        r"""(?<!\\)(?P<e>\\{0,15})["'](?P<name>[A-Za-z_][\w.-]*)(?P=e)["']\s*:\s*""",
        rf"""\\{{1,15}}"[^"]{{0,4096}}"|{_QUOTED}|\[[^\]]{{0,4096}}\]|[\w.+-]+""",
        _of_a_variable,
    ),
    _rule(rf"{_NAME}=", rf"""{_QUOTED}|(?:(?!,[\w.-]+=)[^\s;|&"'])+""", _of_a_variable),
    _rule(r"(?<!\S)(?P<name>--?[A-Za-z][\w.-]*)(?:=|[ \t]+)", rf"""{_QUOTED}|[^\s"'-]\S*""", _if_it_sounds),
    _rule(
        rf"{_NAME}(?:[ \t]+=[ \t]*|=[ \t]+)(?!=)",
        rf"""{_QUOTED}|(?:[^\s;|&"'\\]|\\(?![nrt]))+""",
        _if_it_sounds,
    ),
    _rule(
        r"(?<![\w-])config(?:ure)?[ \t]+set[ \t]+(?P<name>\S{1,256})[ \t]+",
        rf"""{_QUOTED}|[^\s"']+""",
        _if_it_sounds,
    ),
    _rule(
        rf"{_NAME}[ \t]*:(?:[ \t]+|[ \t]*[|>][+-]?[ \t]*\n\s*)(?:[|>][+-]?[ \t]*\n\s*)?",
        rf"""{_QUOTED}|[^\s"'\\{{}}\[\],#][^\n,}}"']{{0,2048}}""",
        _if_it_sounds,
    ),
    *(
        _rule(
            rf"(?<![\w-])(?P<name>{programs})(?![\w-])[^|;&\n]{{0,300}}?[ \t]{option}[ \t]*",
            rf"""{_QUOTED}|[^\s"']+""",
            _surely,
        )
        for option, programs in _PROGRAMS.items()
    ),
)
"""What each finds in a string; what one has found is taken out before the next reads it."""
