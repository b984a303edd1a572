"""The patterns of STIX 2.1 that are indicators of one value, or of several by OR. Pure.

``[ipv4-addr:value = '203.0.113.7' OR domain-name:value IN ('evil.example')]`` and such patterns joined by OR.
Everything else (AND, FOLLOWEDBY, NOT, LIKE, MATCHES, qualifiers, other objects) says more than one value can: a
:class:`PatternError` tells what it was. Source: STIX 2.1, chapter 9.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

from schoolwacht.indicators import IndicatorType


class PatternError(ValueError):
    """A pattern that is none, or that says more than a list of values; the text says what."""


class Compared(NamedTuple):
    """A value of a pattern; ``type`` None where the value's own form says it."""

    type: IndicatorType | None
    value: str


def _network_or_address(value: str) -> IndicatorType:
    whole = value.endswith(("/32" if ":" not in value else "/128",))
    return IndicatorType.NETWORK if "/" in value and not whole else IndicatorType.ADDRESS


def _is(kind: IndicatorType) -> Callable[[str], IndicatorType]:
    return lambda _: kind


_PATHS: MappingProxyType[str, Callable[[str], IndicatorType | None]] = MappingProxyType(
    {
        "ipv4-addr:value": _network_or_address,
        "ipv6-addr:value": _network_or_address,
        "domain-name:value": _is(IndicatorType.DOMAIN),
        "hostname:value": _is(IndicatorType.DOMAIN),
        "url:value": _is(IndicatorType.URL),
        "file:hashes.md5": _is(IndicatorType.FILE_MD5),
        "file:hashes.sha-1": _is(IndicatorType.FILE_SHA1),
        "file:hashes.sha1": _is(IndicatorType.FILE_SHA1),
        "file:hashes.sha-256": _is(IndicatorType.FILE_SHA256),
        "file:hashes.sha256": _is(IndicatorType.FILE_SHA256),
        "x509-certificate:hashes.sha-1": _is(IndicatorType.CERTIFICATE_SHA1),
        "x509-certificate:hashes.sha1": _is(IndicatorType.CERTIFICATE_SHA1),
        "x509-certificate:hashes.sha-256": _is(IndicatorType.CERTIFICATE_SHA256),
        "x509-certificate:hashes.sha256": _is(IndicatorType.CERTIFICATE_SHA256),
        "network-traffic:src_ref.value": lambda _: None,
        "network-traffic:dst_ref.value": lambda _: None,
    }
)
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<sign>!=|<=|>=|[\[\]()=<>,])"
    r"|(?P<path>[a-zA-Z0-9-]+:[a-zA-Z0-9_.-]+(?:'[^']*'[a-zA-Z0-9_.-]*|\[[0-9*]+\])*)|(?P<word>[A-Za-z0-9_.:-]+))"
)
_ESCAPE = re.compile(r"\\(.)")
_TOO_MUCH = {
    "AND": "AND: several facts about one thing",
    "FOLLOWEDBY": "FOLLOWEDBY: an order of events",
    "NOT": "NOT",
    "LIKE": "LIKE",
    "MATCHES": "MATCHES: a regular expression",
    "ISSUPERSET": "ISSUPERSET",
    "WITHIN": "WITHIN",
    "REPEATS": "REPEATS",
    "START": "START and STOP",
    "EXISTS": "EXISTS",
}


def values_of(pattern: str) -> list[Compared]:
    """The values of a pattern, in order. Raises PatternError."""
    parser = _Parser(_tokens(pattern))
    found = parser.observations()
    if not parser.done:
        raise parser.unfit()
    return found


def _tokens(pattern: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    place = 0
    pattern = pattern.rstrip()
    while place < len(pattern):
        match = _TOKEN.match(pattern, place)
        if match is None or match.lastgroup is None:
            raise PatternError(f"the pattern cannot be read from column {place + 1} on")
        found.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return found


class _Parser:
    """Reads from left to right; brackets of either sort may nest as deep as they are closed again."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._place = 0

    @property
    def done(self) -> bool:
        return self._place >= len(self._tokens)

    def unfit(self) -> PatternError:
        """What stands where it cannot be understood."""
        if self.done:
            return PatternError("the pattern ends too early")
        word = self._tokens[self._place][1]
        known = _TOO_MUCH.get(word.upper())
        return PatternError(
            f"the pattern needs {known}, more than one value can say"
            if known
            else f"{word!r} stands where nothing of that kind fits"
        )

    def _takes(self, text: str) -> bool:
        if (
            not self.done
            and self._tokens[self._place][0] in {"sign", "word"}
            and self._tokens[self._place][1].upper() == text
        ):
            self._place += 1
            return True
        return False

    def _needs(self, text: str) -> None:
        if not self._takes(text):
            raise self.unfit()

    def _next(self, kind: str) -> str:
        if self.done or self._tokens[self._place][0] != kind:
            raise self.unfit()
        self._place += 1
        return self._tokens[self._place - 1][1]

    def observations(self, depth: int = 0) -> list[Compared]:
        """Observations joined by OR."""
        found = self._observation(depth)
        while self._takes("OR"):
            found += self._observation(depth)
        return found

    def _observation(self, depth: int) -> list[Compared]:
        if depth > 20:
            raise PatternError("the pattern nests too deep")
        if self._takes("("):
            found = self.observations(depth + 1)
            self._needs(")")
            return found
        self._needs("[")
        found = self._comparisons(depth)
        self._needs("]")
        return found

    def _comparisons(self, depth: int) -> list[Compared]:
        found = self._comparison(depth)
        while self._takes("OR"):
            found += self._comparison(depth)
        return found

    def _comparison(self, depth: int) -> list[Compared]:
        if depth > 20:
            raise PatternError("the pattern nests too deep")
        if self._takes("("):
            found = self._comparisons(depth + 1)
            self._needs(")")
            return found
        path = self._next("path")
        kind = _PATHS.get(path.replace("'", "").lower())
        if kind is None:
            raise PatternError(f"{path} is not compared; known are {', '.join(_PATHS)}")
        if self._takes("IN"):
            self._needs("(")
            texts = [self._text()]
            while self._takes(","):
                texts.append(self._text())
            self._needs(")")
        elif self._takes("=") or self._takes("ISSUBSET"):
            texts = [self._text()]
        else:
            raise self.unfit()
        return [
            Compared(kind(text), text.removesuffix("/32") if "." in text else text.removesuffix("/128"))
            for text in texts
        ]

    def _text(self) -> str:
        return _ESCAPE.sub(r"\1", self._next("text")[1:-1])
