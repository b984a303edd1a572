"""Keyed pseudonyms of one board (school) and one period. HMAC-SHA-256 throughout.

===========  =====================================================================================================
identity     pseudonym
===========  =====================================================================================================
address      ``fd`` + 40 bits of the key (board and period) + 16 bits of the zone's name + 64 bits of HMAC: an address
             in one unique-local /48 (RFC 4193) a period, in one /64 a zone, so that ``ip`` queries and joins work
MAC          locally administered unicast, 46 bits of HMAC
name         ``p-<period>-`` + 80 bits of HMAC as base32; upper and lower case are one
account      the name keyed, domain, realm and the ``$`` of a machine account kept
===========  =====================================================================================================

Left alone: public addresses; loopback, unspecified, multicast and broadcast; networks and zones on the board's list;
names of accounts that stand for nobody (``administrator``, ``guest``).

The 65,536 values of a sort asked last are kept at least. Each pseudonym goes to ``noted`` when it is computed.

Limits: the zone in an address is that of its network; a zone by VLAN alone gives 0. Two values share a pseudonym with a
chance of 2⁻⁶⁴ a pair of addresses, 2⁻⁴⁶ of MACs, 2⁻⁸⁰ of names.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from binascii import b2a_base64
from collections.abc import Callable
from hashlib import blake2b
from ipaddress import IPv6Address
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

CACHED = 65_536
_MAC_DIGITS = 12
#: Accounts that every system has.
WELL_KNOWN = frozenset(
    {
        "", "admin", "administrator", "anonymous", "defaultuser", "ftp", "guest", "krbtgt", "local service",
        "network service", "nobody", "root", "system", "test", "user", "www-data",
    }
)  # fmt: skip
_MAPPED = bytes(10) + b"\xff\xff"
_SOLICITED = inet_pton(AF_INET6, "ff02::1:ff00:0")[:13]
#: The unspecified address and loopback.
_NOBODYS = frozenset({bytes(16), bytes(15) + b"\x01"})
_CLASS_D, _LOOPBACK, _MULTICAST = 224, 127, 0xFF


class Cache:
    """What was asked last, in two generations: a look-up is one dict's, and old values leave without a list of ages.

    Args:
        compute: makes the value of a text.
        size: values a generation.
    """

    def __init__(self, compute: Callable[[str], str], size: int = CACHED) -> None:
        self._compute = compute
        self._size = size
        #: The younger generation: look here first.
        self.young: dict[str, str] = {}
        self._old: dict[str, str] = {}

    def of(self, text: str) -> str:
        """The value of a text."""
        young = self.young
        found = young.get(text)
        if found is None:
            found = self._old.get(text)
            if found is None:
                found = self._compute(text)
            if len(young) >= self._size:
                # The dict stays the same object: whoever looks into it directly goes on to do so.
                self._old = dict(young)
                young.clear()
            young[text] = found
        return found

    def known(self, text: str) -> str | None:
        """The value of a text that is still held; computes nothing."""
        found = self.young.get(text)
        return self._old.get(text) if found is None else found


class Pseudonyms:
    """The pseudonyms of one school and period.

    Args:
        key: of the period.
        school: whose; two schools behind one sensor have nothing in common.
        period: its name.
        is_own: whether an address (text) is to get a pseudonym.
        zone_of: the zone of an address by its network, None for none.
        noted: called with (pseudonym, value) for each that is computed.
    """

    def __init__(
        self,
        key: bytes,
        school: str,
        period: str,
        *,
        is_own: Callable[[str], bool],
        zone_of: Callable[[str], str | None] = lambda _: None,
        noted: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:
        self.period = period
        self._key = hmac.digest(key, b"pseudonyms\0" + school.encode(), "sha256")
        self._prefix = b"\xfd" + self._digest("prefix", b"")[:5]
        self._connections = blake2b(key=self._digest("connections", b""), digest_size=15)
        #: What is a pseudonym already stays one (an event may come by twice).
        self._made = re.compile(rf"p-{re.escape(period)}-[a-z2-7]{{16}}")
        self._is_own = is_own
        self._zone_of = zone_of
        self._noted = noted
        self.addresses = Cache(self._address)
        self.macs = Cache(self._mac)
        self.names = Cache(self._name)
        self.connections = Cache(self._connection)

    @property
    def network(self) -> str:
        """The /48 of this period's addresses."""
        return f"{IPv6Address(self._prefix + bytes(10))}/48"

    def address(self, text: str) -> str:
        """The address to show for one: its pseudonym if it is the school's own."""
        return self.addresses.of(text)

    def mac(self, text: str) -> str:
        """The pseudonym of a MAC address; text that is none becomes a name's."""
        return self.macs.of(text)

    def name(self, text: str) -> str:
        """The pseudonym of a machine's or person's name."""
        return self.names.of(text.lower())

    def connection(self, text: str) -> str:
        """The keyed form of a Community ID, which would otherwise tell the addresses to whoever tries them."""
        return self.connections.of(text)

    def account(self, text: str) -> str:
        r"""An account: ``user``, ``user@realm``, ``DOMAIN\user``, ``user/instance``, ``machine$``."""
        if "\\" in text:
            domain, _, user = text.rpartition("\\")
            return f"{domain}\\{self._user(user)}"
        if "@" in text:
            user, _, domain = text.rpartition("@")
            return f"{self._user(user)}@{domain}"
        return self._user(text)

    def _user(self, text: str) -> str:
        if text.lower() in WELL_KNOWN:
            return text
        if text.endswith("$"):
            return f"{self.name(text[:-1])}$"
        return self.name(text)

    def _digest(self, sort: str, value: bytes) -> bytes:
        return hmac.digest(self._key, sort.encode() + b"\0" + value, "sha256")

    def _address(self, text: str) -> str:
        try:
            raw = _packed(text.partition("%")[0])
        except (OSError, ValueError):
            # No address: nobody can say that it is not an identity.
            return self.name(text)
        if len(raw) == 4:
            shown = inet_ntop(AF_INET, raw)
            if raw[0] >= _CLASS_D or raw[0] == _LOOPBACK or not any(raw):
                return shown
        else:
            shown = inet_ntop(AF_INET6, _group(raw) if raw[0] == _MULTICAST else raw)
            if raw[0] == _MULTICAST or raw.startswith(self._prefix) or raw in _NOBODYS:
                return shown
        if not self._is_own(shown):
            return shown
        host = self._digest("address", raw)[:8]
        zone = zone_number(self._zone_of(shown)).to_bytes(2, "big")
        made = inet_ntop(AF_INET6, self._prefix + zone + host)
        self._noted(made, shown)
        return made

    def _mac(self, text: str) -> str:
        digits = text.replace("-", "").replace(":", "").lower()
        try:
            raw = bytes.fromhex(digits) if len(digits) == _MAC_DIGITS else b""
        except ValueError:
            raw = b""
        if not raw:
            return self.name(text)
        if raw[0] & 1 or not any(raw):
            # A solicited-node group (RFC 2464 7, RFC 4291 2.7.1) has 24 bits of a host's address.
            return "33-33-FF-00-00-00" if digits.startswith("3333ff") else text
        digest = bytearray(self._digest("mac", raw)[:6])
        digest[0] = digest[0] & 0xFC | 0x02
        made = bytes(digest).hex("-").upper()
        self._noted(made, raw.hex("-").upper())
        return made

    def _name(self, text: str) -> str:
        if self._made.fullmatch(text):
            return text
        code = b32encode(self._digest("name", text.encode("utf-8", "surrogatepass"))[:10]).decode().lower()
        made = f"p-{self.period}-{code}"
        self._noted(made, text)
        return made

    def _connection(self, text: str) -> str:
        state = self._connections.copy()
        state.update(text.encode("utf-8", "surrogatepass"))
        return "p:" + b2a_base64(state.digest(), newline=False).decode()


def zone_number(zone: str | None) -> int:
    """16 bits of an address for a zone's name, 0 for none: the same at every agent of a board."""
    if zone is None:
        return 0
    return int.from_bytes(blake2b(zone.encode(), digest_size=2).digest(), "big") or 1


def _packed(text: str) -> bytes:
    """The 4 or 16 bytes of an address; a mapped IPv4 address gives 4. By the C library, as in ``direction.py``."""
    if ":" not in text:
        return inet_pton(AF_INET, text)
    raw = inet_pton(AF_INET6, text)
    return raw[12:] if raw.startswith(_MAPPED) else raw


def _group(raw: bytes) -> bytes:
    """A multicast address without the 24 bits of a host that a solicited-node address has (RFC 4291 2.7.1)."""
    return _SOLICITED + bytes(3) if raw.startswith(_SOLICITED) else raw
