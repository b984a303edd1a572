"""Sources of signatures: the known ones with their licences, and which licences may be used. Pure.

Licences that allow everybody everything (MIT, CC0, our own EUPL) are taken. GPL and CC-BY-SA need the operator's word,
for whoever passes such a rule book on has duties. Non-commercial and source-available ones are refused whatever is
said.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple

from schoolwacht.errors import ConfigError
from schoolwacht_collector.rulebook.settings import RulebookSettings

FREE = frozenset({"MIT", "CC0-1.0", "EUPL-1.2"})
#: The licences that no setting accepts, with the reason.
NEVER: MappingProxyType[str, str] = MappingProxyType(
    {
        "Elastic-2.0": "forbids to offer it to others as a service",
        "CC-BY-NC-4.0": "forbids commercial use, which suppliers of schools make",
        "CC-BY-NC-SA-4.0": "forbids commercial use, which suppliers of schools make",
        "proprietary": "is not for passing on",
    }
)


class Source(NamedTuple):
    """A source: its name, where it is, its licence, and its pin (empty for none)."""

    name: str
    url: str
    licence: str
    sha256: str = ""


KNOWN: MappingProxyType[str, Source] = MappingProxyType(
    {
        each.name: each
        for each in (
            Source(
                "et/open", "https://rules.emergingthreats.net/open/suricata-%(version)s/emerging.rules.tar.gz", "MIT"
            ),
            Source("abuse.ch/sslbl", "https://sslbl.abuse.ch/blacklist/sslblacklist_tls_cert.tar.gz", "CC0-1.0"),
            Source("abuse.ch/feodo", "https://feodotracker.abuse.ch/downloads/feodotracker.tar.gz", "CC0-1.0"),
            Source("abuse.ch/urlhaus", "https://urlhaus.abuse.ch/downloads/urlhaus_suricata.tar.gz", "CC0-1.0"),
            Source("ptresearch/attackdetection", "", "proprietary"),
        )
    }
)


def chosen(settings: RulebookSettings, version: str) -> list[Source]:
    """The sources that the settings name, for a version of Suricata. Raises ConfigError for one not to be used."""
    found: list[Source] = []
    for place, wanted in enumerate(settings.sources):
        known = KNOWN.get(wanted.name)
        url = wanted.url or (known.url if known else "")
        licence = known.licence if known else wanted.licence
        field = f"rulebook.sources[{place}]"
        if known and wanted.licence and wanted.licence != known.licence:
            raise ConfigError(f"{wanted.name} is under {known.licence}, not {wanted.licence}", field=f"{field}.licence")
        _allow(wanted.name, licence, settings.accept_licences, field)
        if not url.startswith(("https://", "file:///")):
            raise ConfigError(f"{wanted.name} needs an https:// or file:/// address", field=f"{field}.url")
        if wanted.name in {each.name for each in found}:
            raise ConfigError(f"{wanted.name} occurs twice", field=f"{field}.name")
        found.append(Source(wanted.name, url.replace("%(version)s", version), licence, wanted.sha256))
    return found


def _allow(name: str, licence: str, accepted: Sequence[str], field: str) -> None:
    if not licence:
        raise ConfigError(
            f"{name} is not a known source: say its licence (SPDX), and where it is", field=f"{field}.licence"
        )
    if licence in NEVER:
        raise ConfigError(f"{name} cannot be used: its licence ({licence}) {NEVER[licence]}", field=f"{field}.name")
    if licence not in FREE and licence not in accepted:
        raise ConfigError(
            f"{name} is under {licence}, with duties for whoever passes it on: add it to rulebook.accept_licences if"
            " you take them on",
            field=f"{field}.licence",
        )
