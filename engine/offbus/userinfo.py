"""Takes user names, passwords and tokens out of URLs: `https://user:password@host/path` becomes `https://host/path`.

For every text of the outside world that is printed or written: messages of other programs and libraries repeat the
URL that they could not reach. Pure.
"""

import re

__all__ = ["userinfos", "without_userinfo"]

_USERINFO = re.compile(r"""(:(?:\\?/){2})([^\s/?#'"<>\\]*)@""")
"""RFC 3986, section 3.2: the authority ends at the first "/", "?" or "#"; passwords with a bare "@" are met, too. The
slashes may be escaped, as JSON allows. Linear: what follows `//` is looked at once."""


def without_userinfo(text: str) -> str:
    """The text with the userinfo of every URL in it removed."""
    return _USERINFO.sub(r"\1", text)


def userinfos(text: str) -> list[str]:
    """The userinfo of every URL in it, as it stands there: "user:password", "token"."""
    return [found[1] for found in _USERINFO.findall(text)]
