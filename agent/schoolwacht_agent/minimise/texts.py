"""Text that holds identities among other words: messages, distinguished names, shares, files, URLs.

A message is searched for addresses, MAC addresses, and every word that this school's traffic has named a machine,
person or address by (what has a pseudonym already), so that a detector may put what it found into a sentence.

Limit: a name that stands in a message and in no field of any event would stay.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from ntpath import splitext

from schoolwacht.event import KEYWORD_MAX, clip
from schoolwacht_agent.minimise.hosts import Hosts
from schoolwacht_agent.minimise.pseudonyms import Pseudonyms

#: Characters of a text from the network that an alert keeps.
BOUND = 256

_MAC = re.compile(r"(?<![\w:.-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])")
_FOUR = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_SIX = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}(?![\w:])")
_ARPA = re.compile(r"(?:[0-9A-Fa-f]{1,3}\.){4,32}(?:in-addr|ip6)\.arpa", re.IGNORECASE)
_WORD = re.compile(r"[^\s,;:()\[\]{}<>\"'=/\\@|]+")
_COMMON_NAME = re.compile(r"((?:^|[,/+;]\s*)CN\s*=\s*)((?:\\.|[^,/+;\\])*)", re.IGNORECASE)
#: Shares of every Windows machine, and what named pipes are called.
_SHARES = frozenset({"ipc$", "admin$", "print$", "sysvol", "netlogon", "fax$"})
_DRIVE = re.compile(r"^[a-z]\$$")
_PIPE = re.compile(r"^\\?(?:pipe\\)?[a-z0-9_.-]{1,32}$", re.IGNORECASE)
_EXTENSION = re.compile(r"^\.[A-Za-z0-9]{1,8}$")
#: Shorter words are no names that one could tell from others; a short number is a figure, a long one a pupil's number.
_WORD_MIN, _FIGURE_MIN = 2, 4


class Texts:
    """Treats text for one school and period."""

    def __init__(self, pseudonyms: Pseudonyms, hosts: Hosts) -> None:
        self._pseudonyms = pseudonyms
        self._hosts = hosts

    def message(self, text: str) -> str:
        """A sentence with every identity in it replaced by its pseudonym."""
        pseudonyms = self._pseudonyms
        text = _MAC.sub(lambda found: pseudonyms.mac(found[0].replace(":", "-").upper()), text)
        text = _ARPA.sub(lambda found: self._hosts.of(found[0]), text)
        text = _FOUR.sub(lambda found: pseudonyms.address(found[0]), text)
        text = _SIX.sub(lambda found: self._six(found[0]), text)
        return _WORD.sub(lambda found: self._word(found[0]), text)

    def bounded(self, text: str) -> str:
        """What an alert keeps of a text from the network."""
        return self.message(clip(text, BOUND))

    def common_name(self, text: str) -> str:
        """A distinguished name whose common name is no machine of the school's."""
        return _COMMON_NAME.sub(lambda found: found[1] + self._common(found[2]), text)

    def share(self, text: str) -> str:
        r"""A share (``\\server\share``) with its server and, unless every Windows machine has it, its name replaced."""
        *server, name = text.strip("\\").split("\\")
        plain = name.lower()
        if plain not in _SHARES and not _DRIVE.fullmatch(plain):
            name = self._pseudonyms.name(name)
        return clip("\\\\" + "\\".join([*(self._hosts.of(part) for part in server), name]), KEYWORD_MAX)

    def pipe(self, text: str) -> str:
        """The name of a pipe, or the share that it is below."""
        return text if _PIPE.fullmatch(text) else self.share(text)

    def file(self, text: str) -> str:
        """A file's name or path as one pseudonym, its extension kept."""
        extension = splitext(text)[1]
        if not _EXTENSION.fullmatch(extension):
            extension = ""
        return clip(self._pseudonyms.name(text), KEYWORD_MAX - len(extension)) + extension.lower()

    def uri(self, text: str) -> str:
        """A URI of a person (``sip:user@host;…``): scheme and host, the user replaced, parameters left out."""
        scheme, colon, rest = text.partition(":")
        if not colon:
            scheme, rest = "", text
        user, at, host = rest.partition(";")[0].rpartition("@")
        name, port_at, port = host.rpartition(":")
        shown = self._hosts.of(name if port_at and port.isdigit() and name.count(":") == 0 else host)
        return f"{scheme}{colon}{self._pseudonyms.name(user)}{at}{shown}" if at else f"{scheme}{colon}{shown}"

    def service(self, text: str) -> str:
        """A Kerberos service (``cifs/fs1.school.lan``, ``krbtgt/REALM``): what it is, and the machine replaced."""
        sort, slash, host = text.partition("/")
        if not slash:
            return self._pseudonyms.account(text)
        if sort.lower() == "krbtgt":
            return text
        return sort + slash + "/".join(self._hosts.of(part) for part in host.split("/"))

    def _common(self, name: str) -> str:
        return self._hosts.of(name) if name and not re.search(r"\s", name) else name

    def _six(self, text: str) -> str:
        return self._pseudonyms.address(text) if _is_six(text) else text

    def _word(self, word: str) -> str:
        bare = word.strip(".!?*")
        if len(bare) < (_FIGURE_MIN if bare.isdigit() else _WORD_MIN):
            return word
        lower = bare.lower()
        names = self._pseudonyms.names
        for candidate in (lower, lower.removesuffix("$")):
            if (known := names.known(candidate)) is not None:
                return word.replace(bare, known)
        shown = self._hosts.names.known(bare) or self._hosts.names.known(lower)
        return word if shown is None else word.replace(bare, shown)


def _is_six(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
