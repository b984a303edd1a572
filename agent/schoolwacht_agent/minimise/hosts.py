"""Names of machines: those of the school become pseudonyms, those of the world stay.

Of the school are: single labels (NetBIOS, LLMNR), names below ``.local``, ``.lan`` and the other suffixes that the
public DNS does not have, and below the board's internal domains. Of such a name each label before the suffix gets a
pseudonym; labels of services (``_ldap``, ``dc``) and the suffix stay, so that one still sees what was asked for. A name
that holds an address (a reverse look-up, a host given by address) gets the address's pseudonym in the same form.

Limits: a machine with a name in public DNS outside the internal domains keeps it. A reverse name that stands for a
network rather than an address stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from schoolwacht.event import KEYWORD_MAX, clip
from schoolwacht_agent.minimise.pseudonyms import Cache, Pseudonyms

#: Suffixes of local networks: RFC 6762 and its appendix G, RFC 8375, ICANN's .internal, and what products use.
LOCAL = frozenset(
    {
        "local", "lan", "home", "internal", "intranet", "corp", "private", "localdomain", "domain", "workgroup",
        "home.arpa", "localnet", "fritz.box",
    }
)  # fmt: skip
#: Labels that name a service and nobody.
_SERVICES = frozenset(
    {
        "dc", "gc", "pdc", "domains", "domaindnszones", "forestdnszones", "wpad", "isatap", "localhost", "www", "mail",
        "b", "db", "dr", "lb", "r",
    }
)  # fmt: skip
_FOUR = re.compile(r"^(?P<before>(?:.+\.)?)(?P<octets>(?:\d{1,3}\.){4})in-addr\.arpa$")
_SIX = re.compile(r"^(?P<before>(?:.+\.)?)(?P<nibbles>(?:[0-9a-f]\.){32})ip6\.arpa$")


class Hosts:
    """Treats names of machines for one school and period.

    Args:
        pseudonyms: of that school and period.
        readable: names that stay, with all below them.
        internal: domains whose names are machines of the school.
    """

    def __init__(self, pseudonyms: Pseudonyms, readable: Iterable[str] = (), internal: Iterable[str] = ()) -> None:
        self._pseudonyms = pseudonyms
        self._readable = frozenset(_plain(name) for name in readable)
        self._suffixes = LOCAL | {_plain(name) for name in internal}
        self.names = Cache(self._host)

    def of(self, name: str) -> str:
        """The name to show."""
        return self.names.of(name)

    def is_local(self, name: str) -> bool:
        """Whether it is a name of the school's own network (and no reverse look-up)."""
        return not name.endswith(".arpa") and self._split(name.lower().rstrip(".")) is not None

    def _host(self, name: str) -> str:
        if not name:
            return name
        plain = name.lower().rstrip(".")
        if plain.endswith(".arpa"):
            return self._reverse(plain)
        if (address := _address_in(plain)) is not None:
            shown = self._pseudonyms.address(address)
            return name if shown == address else f"[{shown}]" if plain.startswith("[") else shown
        found = self._split(plain)
        if found is None:
            return name
        machine, suffix = found
        labels = [self._label(label) for label in machine.split(".")]
        return clip(".".join([*labels, suffix] if suffix else labels), KEYWORD_MAX)

    def _label(self, label: str) -> str:
        if not label or label.startswith("_") or label in _SERVICES:
            return label
        return self._pseudonyms.name(label)

    def _split(self, name: str) -> tuple[str, str] | None:
        """A name of the school's as machine and suffix; None for one of the world or one that stays readable."""
        above = name
        while above:
            if above in self._readable:
                return None
            if above in self._suffixes:
                return (name[: -len(above) - 1], above) if above != name else None
            above = above.partition(".")[2]
        return None if "." in name else (name, "")

    def _reverse(self, name: str) -> str:
        if found := _FOUR.fullmatch(name):
            address = ".".join(reversed(found["octets"].rstrip(".").split(".")))
        elif found := _SIX.fullmatch(name):
            digits = found["nibbles"].replace(".", "")[::-1]
            address = ":".join(digits[at : at + 4] for at in range(0, 32, 4))
        else:
            return self._below_home_arpa(name)
        try:
            parsed = ip_address(address)
        except ValueError:
            return name
        shown = self._pseudonyms.address(str(parsed))
        if shown == str(parsed):
            return name
        return found["before"] + ip_address(shown).reverse_pointer

    def _below_home_arpa(self, name: str) -> str:
        if not name.endswith(".home.arpa"):
            return name
        machine = name.removesuffix(".home.arpa")
        return clip(".".join([*(self._label(label) for label in machine.split(".")), "home.arpa"]), KEYWORD_MAX)


def _plain(name: str) -> str:
    return name.strip(".").lower()


def _address_in(name: str) -> str | None:
    """The address that a host was given as, ``192.0.2.1`` or ``[2001:db8::1]``."""
    if ":" not in name and not name[-1:].isdigit() and not name.endswith("]"):
        return None
    try:
        return str(ip_address(name.strip("[]").partition("%")[0]))
    except ValueError:
        return None
