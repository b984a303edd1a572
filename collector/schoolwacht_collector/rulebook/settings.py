"""``[rulebook]``: which signatures of others there are, under which licences, and how they are chosen."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class SourceSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[rulebook.sources]]``."""

    name: Annotated[
        str,
        Meta(pattern=r"^[a-z0-9][a-z0-9./_-]{0,63}$", description="Its name; a known one needs no url and licence."),
    ]
    url: Annotated[
        str, Meta(description="https:// or file:// of a .rules file or a .tar.gz; %(version)s is Suricata's version.")
    ] = ""
    licence: Annotated[str, Meta(description="SPDX identifier of its licence.")] = ""
    sha256: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$", description="Pin: any other content is refused.")] = ""


class RulebookSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[rulebook]``."""

    directory: Annotated[str, Meta(description="Where rule books are kept; empty: rulebook below the state.")] = ""
    sources: Annotated[
        tuple[SourceSettings, ...], Meta(description="Where signatures come from; none: our own alone.")
    ] = ()
    accept_licences: Annotated[
        tuple[str, ...],
        Meta(description="Licences (SPDX) that you accept besides MIT, CC0-1.0 and EUPL-1.2, such as GPL-2.0-only."),
    ] = ()
    enable: Annotated[str, Meta(description="File of rules to enable, as suricata-update reads it.")] = ""
    disable: Annotated[str, Meta(description="File of rules to disable, likewise.")] = ""
    modify: Annotated[str, Meta(description="File of changes to rules, likewise.")] = ""
    suricata: Annotated[
        tuple[str, ...],
        Meta(min_length=1, description="Suricata programs that check the rule book; all must take it."),
    ] = ("suricata",)
    keep: Annotated[int, Meta(ge=2, le=100, description="How many rule books are kept.")] = 5
