"""D27: a name that imitates one at which pupils and staff log in (ATT&CK T1566.002).

Looks at the registrable domain of DNS questions, TLS server names and HTTP hosts (public suffix list from its package),
as it is read in a browser (``xn--`` decoded). Whose names are imitated, and what is no imitation: ``brands.toml``.

========  ==========================================================================================================
medium    it is read as the name without being it (homoglyphs, digits for letters); a name, or one spelled within one
          edit, together with a word of logging in; a long name that is no ordinary word, spelled within two edits;
          the owner's whole domain before another one in a TLS or HTTP name (``digid.nl.example.org``)
low       a name of six letters or fewer spelled within one edit; a name as a part of another, or below another suffix
========  ==========================================================================================================

Kept out: the owned list and the setting ``owned``; accidental neighbours (digit, Simon, goggle); two edits of short
names (doodle is two edits from google), which the catalogue's definition would take; suffixes that are no public ones
(``.local``). DNS questions with another domain behind the owner's are search lists and block lists, so only TLS and
HTTP count there. A domain is told once a school in ``period_hours``, then when ten times as many hosts ask for it.

Memory (measured): 1.1 kB a look-alike domain with its judgement, 0.26 kB a client beyond the first, 2,048 domains and
32,768 clients; judgements of the 16,384 domains seen last, 0.2 kB each.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, ClassVar, NamedTuple

import msgspec
from msgspec import Meta, Struct

from schoolwacht.domains import split
from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.spelling import distance, shown, skeleton, skeleton_of_brand
from schoolwacht_agent.behave.state import VALUES, Recent, Watch

RULE = Rule("D27", "Look-alike domain", "Minor", "Medium", "T1566.002", "phishing")
#: Words of logging in. With one of them, a name that is also an ordinary word means the one people log in at.
# Bound, because before Python 3.12 each look at a member of an enum is a call.
_DNS, _TLS = Dataset.DNS, Dataset.TLS
LOGIN_WORDS = frozenset(
    {
        "aanmelden", "aanmelding", "account", "accounts", "activate", "activatie", "activation", "activeer",
        "activeren", "auth", "bevestig", "bevestigen", "bevestiging", "com", "confirm", "controle", "helpdesk", "inlog",
        "inloggen", "login", "logon", "machtigen", "mfa", "mijn", "net", "nl", "password", "portaal", "portal", "reset",
        "secure", "signin", "sso", "verificatie", "verifieer", "verifieren", "verify", "veilig", "wachtwoord",
    }
)  # fmt: skip
#: Words that go with a name that is no ordinary word.
OTHER_WORDS = frozenset(
    {
        "app", "betalen", "betaling", "check", "docent", "eu", "factuur", "id", "info", "klantenservice", "leerling",
        "leerlingen", "mail", "melding", "my", "online", "org", "ouder", "ouders", "school", "scholen", "security",
        "service", "support", "toegang", "update", "vernieuwen", "web", "www",
    }
)  # fmt: skip
#: Suffixes of private networks: a directory domain may bear any name.
_PRIVATE = frozenset(
    {
        "local",
        "lan",
        "home",
        "internal",
        "intern",
        "intranet",
        "corp",
        "localdomain",
        "localhost",
        "box",
        "test",
        "invalid",
    }
)
#: Suffixes below which a service shows other people's sites under a name made from theirs.
_MIRRORS = frozenset({"translate.goog"})
_LONG = 8
#: No name is imitated by fewer letters.
_LEAST = 4
_PARTS = re.compile(r"[-_0-9]+")


class LookAlikeSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.look_alike]``."""

    period_hours: Annotated[
        int, Meta(ge=1, le=720, description="D27: a domain is told again after so many hours without it.")
    ] = 24
    owned: Annotated[
        tuple[str, ...], Meta(description="D27: more registrable domains that imitate nobody, such as a reseller's.")
    ] = ()
    brands: Annotated[
        tuple[Annotated[str, Meta(pattern="^[a-z0-9]{5,40}$")], ...],
        Meta(description="D27: more names to watch over, such as the school's own domain without its suffix."),
    ] = ()


class _Brand(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    owned: tuple[str, ...] = ()
    innocent: frozenset[str] = frozenset()
    any_suffix: bool = False
    word: bool = False


class _Brands(Struct, frozen=True, forbid_unknown_fields=True):
    brand: tuple[_Brand, ...]


class Likeness(NamedTuple):
    """Whom a domain imitates and how. ``strong`` says that chance does not explain it."""

    brand: str
    how: str
    strong: bool


class LookAlike:
    """Detector D27."""

    id: ClassVar[str] = RULE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.DNS, Dataset.TLS, Dataset.HTTP})

    def __init__(self, settings: LookAlikeSettings) -> None:
        self._period = settings.period_hours * 3600
        self._brands = (*known_brands(), *(_Brand(name) for name in settings.brands))
        self._owned = frozenset(domain for brand in self._brands for domain in brand.owned) | frozenset(settings.owned)
        self._domains: Recent[tuple[str | None, str], Watch] = Recent(2048, Watch, VALUES)
        self._judge = lru_cache(maxsize=16_384)(self._look)

    def see(self, event: Event) -> Iterable[Event]:
        """Signals that this name completes."""
        dataset = event.event_dataset
        if dataset is _DNS:
            if event.dns_type != "query":
                return ()
            name = event.dns_question_name
        else:
            name = event.tls_client_server_name if dataset is _TLS else event.url_domain
        if not name:
            return ()
        domain, below = split(name)
        if domain is None:
            return ()
        likeness = self._judge(domain)
        if likeness is None and below is not None and dataset is not _DNS:
            likeness = self._before(below, domain)
        return self._tell(event, domain, likeness) if likeness is not None else ()

    def _tell(self, event: Event, domain: str, likeness: Likeness) -> Iterator[Event]:
        watch, at = self._domains.of((event.school_location, domain)), event.timestamp.timestamp()
        clients = watch.grows(event.source_ip, at, self._period, 1)
        if not clients:
            return
        read = ".".join(map(shown, domain.split(".")))
        as_read = f" (read as {read})" if read != domain else ""
        message = f"{domain}{as_read} looks like {likeness.brand}: {likeness.how}; asked for by {clients} host(s)"
        yield raise_signal(
            RULE,
            event,
            message,
            first=watch.seen.first(),
            confidence="Medium" if likeness.strong else "Low",
            detail={"domain": domain, "brand": likeness.brand, "why": likeness.how, "hosts": clients},
        )

    def _look(self, domain: str) -> Likeness | None:
        if domain in self._owned:
            return None
        label, _, suffix = domain.partition(".")
        if suffix.rpartition(".")[2] in _PRIVATE or suffix in _MIRRORS:
            return None
        return likeness(shown(label), self._brands)

    def _before(self, below: str, domain: str) -> Likeness | None:
        """Whether an owner's whole domain stands before this one, as in ``digid.nl.example.org``."""
        if domain in self._owned:
            return None
        labels = below.split(".")
        for place in range(len(labels) - 1):
            pair = f"{labels[place]}.{labels[place + 1]}"
            if pair in self._owned:
                return Likeness(pair.partition(".")[0], f"{pair} stands before it", strong=True)
        return None

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._domains,)


@lru_cache(maxsize=1)
def known_brands() -> tuple[_Brand, ...]:
    """The names of ``brands.toml``."""
    text = files(__package__).joinpath("brands.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _Brands).brand


class _Piece(NamedTuple):
    """A piece of a label: as it is read, what it is confused with, and its letters."""

    text: str
    skeleton: str
    letters: frozenset[str]


def likeness(label: str, brands: Iterable[_Brand]) -> Likeness | None:
    """What a label (as it is read, before the public suffix) imitates; the strongest likeness if there are several."""
    parts = [part for part in _PARTS.split(label) if part]
    # Digits may stand for letters, so the pieces between hyphens count beside the pieces between digits.
    texts = dict.fromkeys((label, *label.split("-"), *parts))
    pieces = [_Piece(text, skeleton(text), frozenset(text)) for text in texts if len(text) >= _LEAST]
    weak = None
    for brand in brands:
        found = _like(label, parts, pieces, brand) if pieces else None
        if found is not None and found.strong:
            return found
        weak = weak or found
    return weak


def _like(label: str, parts: list[str], pieces: list[_Piece], brand: _Brand) -> Likeness | None:
    name = brand.name
    if label == name:
        if brand.any_suffix or brand.word:
            return None
        return Likeness(name, "the name itself below another suffix", strong=False)
    looks = skeleton_of_brand(name)
    if any(one.skeleton == looks and one.text != name and one.text not in brand.innocent for one in pieces):
        return Likeness(name, "it is read as the name but spelled with other characters", strong=True)
    if name in label:
        words = LOGIN_WORDS if brand.word else LOGIN_WORDS | OTHER_WORDS
        if name in parts and any(part in words for part in parts):
            return Likeness(name, "the name with a word of logging in", strong=True)
        if any(_rest_is_word(part, name, words) for part in parts):
            return Likeness(name, "the name with a word of logging in", strong=True)
    near = _near(label, parts, pieces, brand)
    if near is not None:
        return near
    if name in parts or (name in label and len(name) >= _LONG and not brand.word):
        return Likeness(name, "the name as a part", strong=False)
    return None


def _near(label: str, parts: list[str], pieces: list[_Piece], brand: _Brand) -> Likeness | None:
    name, long = brand.name, len(brand.name) >= _LONG
    most = 2 if long and not brand.word else 1
    letters = frozenset(name)
    for piece in pieces:
        # Each letter of the name that is missing costs an edit.
        if len(letters - piece.letters) > most or piece.text in brand.innocent or piece.text == name:
            continue
        edits = distance(piece.text, name, most)
        # Two edits that change the beginning make another word (job-today, gm-today).
        if edits <= most and (edits < 2 or piece.text[0] == name[0]):
            how = f"spelled {edits} edit{'s' if edits > 1 else ''} from the name"
            return Likeness(name, how, strong=long or not LOGIN_WORDS.isdisjoint(parts))
    if "-" in label and label.replace("-", "") == name:
        return Likeness(name, "the name with hyphens", strong=long)
    return None


def _rest_is_word(part: str, name: str, words: frozenset[str]) -> bool:
    """Whether a part is the name and a word without a hyphen, as in ``inloggendigid``."""
    if part.startswith(name) and part[len(name) :] in words:
        return True
    return part.endswith(name) and part[: -len(name)] in words
