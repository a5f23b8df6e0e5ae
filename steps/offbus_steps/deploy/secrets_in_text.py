r"""Where secrets stand in a string that may be a command line, a URL or a configuration, and in a command's words.

- `NAME=value` and `"NAME": "value"`, also in strings within strings (`\"NAME\": …`): a variable's name (`UPPER_CASE`)
  must be known to be harmless, or its value is a secret; any other name's is when the name sounds secret. So are
  `name: value` (YAML) and `--name value`.
- The query of a URL, whatever it is called: signatures and tokens have many names.
- The value of a header that is not known to be harmless, and the password in `-u user:password`.
- Passwords that programs take as a short option (`redis-cli -a …`).

A value that comes from elsewhere (`$X`), or that is everyday (`true`, `8000`), is none. All patterns are bounded or
anchored: text of any length is read in linear time. Pure.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from offbus_steps.deploy.harmless_names import is_harmless_env, is_harmless_header, sounds_secret

__all__ = ["EVERYDAY", "LEFT_OUT", "RULES", "Secret", "secret_queries", "secrets_of_words"]

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

_QUOTED = r""""(?:[^"\\]|\\.){0,4096}"|'[^']{0,4096}'"""
_NAME = r"(?<![\w.-])(?P<name>[A-Za-z_][\w.-]*)"
_REST = r"(?P<value>(?(q)[^\"'\n]+|\S+))"
_ASSIGNED = re.compile(rf"""{_NAME}=(?P<value>{_QUOTED}|(?:(?!,[\w.-]+=)[^\s;|&"'])+)""")
_FIELD = re.compile(
    rf"""(?<!\\)(?P<e>\\{{0,15}})["'](?P<name>[A-Za-z_][\w.-]*)(?P=e)["']\s*:\s*"""
    rf"""(?P<value>\\{{1,15}}"[^"]{{0,4096}}"|{_QUOTED}|\[[^\]]{{0,4096}}\]|[\w.+-]+)"""
)
_YAML = re.compile(
    rf"""{_NAME}[ \t]*:(?:[ \t]+|[ \t]*[|>][+-]?[ \t]*\n\s*)(?:[|>][+-]?[ \t]*\n\s*)?"""
    rf"""(?P<value>{_QUOTED}|[^\s"'\\{{}}\[\],#][^\n,}}"']{{0,2048}})"""
)
_FLAG = re.compile(rf"""(?<!\S)(?P<name>--?[A-Za-z][\w.-]*)(?:=|[ \t]+)(?P<value>{_QUOTED}|[^\s"'-]\S*)""")
_QUERY = re.compile(
    r"""(?<![A-Za-z0-9+.-])(?P<name>[A-Za-z][A-Za-z0-9+.-]{0,30})://[^\s"'<>?]{0,2048}\?(?P<value>[^\s"'<>]+)"""
)
_HEADER = re.compile(
    rf"""(?<!\S)(?:-[A-Za-z]{{0,8}}H|--(?:proxy-)?header)(?:=|[ \t]*)(?P<q>["'])?(?P<name>[\w-]+):[ \t]*{_REST}"""
)
_USER = re.compile(
    rf"""(?<!\S)(?:-[A-Za-z]{{0,8}}u|--(?:proxy-)?user)(?:=|[ \t]*)(?P<q>["'])?(?P<name>[^\s:"']+):(?!//){_REST}"""
)
_HEADER_WORD = re.compile(r"(?P<name>[\w-]+):\s*(?P<value>.+)", re.DOTALL)
_USER_WORD = re.compile(r"(?P<name>[^\s:]+):(?!//)(?P<value>.+)", re.DOTALL)
_PROGRAMS = {
    "-a": r"(?:redis|valkey|keydb)-cli",
    "-p": r"sshpass|mysql\w{0,20}|mariadb[\w-]{0,20}|mongo\w{0,20}",
    "-w": r"ldap(?:search|modify|add|delete|whoami|passwd)",
}
"""The short option for a password, and the programs that have it."""
_PASSWORDS = [
    re.compile(
        rf"""(?<![\w-])(?P<name>{programs})(?![\w-])[^|;&\n]{{0,300}}?[ \t]{option}[ \t]*"""
        rf"""(?P<value>{_QUOTED}|[^\s"']+)"""
    )
    for option, programs in _PROGRAMS.items()
]
_PARAMETER = re.compile(r"(?<=[?&])(?P<name>[\w.-]{1,64})=(?P<value>[^\s&\"'<>]+)")


def secret_queries(text: str) -> list[Secret]:
    """The parameters of URLs in a log that sound secret; the rest of a URL tells what was asked for."""
    return list(_found(_PARAMETER, text, _if_it_sounds))


def secrets_of_words(words: Sequence[str]) -> Iterator[tuple[int, Secret]]:
    """Those that only the word before, or the program, shows; by the number of the word."""
    for number, (option, word) in enumerate(zip(("", *words), words, strict=False)):
        whole = Secret(0, len(word), sure=True)
        if re.fullmatch(r"-[A-Za-z]{0,8}H|--(?:proxy-)?header", option):
            yield from ((number, one) for one in _found(_HEADER_WORD, word, _unless_harmless_header))
        elif re.fullmatch(r"-[A-Za-z]{0,8}u|--(?:proxy-)?user", option):
            yield from ((number, one) for one in _found(_USER_WORD, word, lambda _: True))
        elif re.fullmatch(r"-[^=]+", option) and sounds_secret(option) and word[:1] != "-" and _is_one(word):
            yield number, whole
        for short, programs in _PROGRAMS.items():
            if not any(re.fullmatch(programs, one.rpartition("/")[2]) for one in words[:number]):
                continue
            if option == short and _is_one(word):
                yield number, whole
            elif word.startswith(short) and len(word) > len(short) and not word.startswith("--"):
                yield number, Secret(len(short), len(word), sure=True)


def _found(pattern: re.Pattern[str], text: str, judge: Judge) -> Iterator[Secret]:
    """A value that may be shown is read again: it may hold a secret of its own."""
    at = 0
    while match := pattern.search(text, at):
        sure = judge(match["name"])
        start, end = match.span("value")
        if end - start > 1 and text[start] in "\"'" and text[start] == text[end - 1]:
            start, end = start + 1, end - 1
        value = text[start:end]
        if sure is None or not _is_one(value, everyday=sure):
            at = match.end("name")
        else:
            yield Secret(start, end, sure)
            at = match.end("value")


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


def _rule(pattern: re.Pattern[str], judge: Judge) -> Callable[[str], list[Secret]]:
    return lambda text: list(_found(pattern, text, judge))


RULES = (
    _rule(_QUERY, lambda _: False),
    _rule(_HEADER, _unless_harmless_header),
    _rule(_USER, lambda _: True),
    _rule(_FIELD, _of_a_variable),
    _rule(_ASSIGNED, _of_a_variable),
    _rule(_FLAG, _if_it_sounds),
    _rule(_YAML, _if_it_sounds),
    *(_rule(pattern, lambda _: True) for pattern in _PASSWORDS),
)
"""What each finds in a string; what one has found is taken out before the next reads it."""
