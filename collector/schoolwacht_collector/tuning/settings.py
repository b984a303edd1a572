"""``[triage]``: when an open alert is told again, and which alerts close by themselves."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from schoolwacht_collector.records import Severity

_Days = Annotated[int, Meta(ge=0, le=3650)]
_Minutes = Annotated[int, Meta(ge=0, le=525_600)]


class TriageSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[triage]``."""

    remind_hours: Annotated[
        int, Meta(ge=0, le=8760, description="An open alert that goes on is told again after so many hours; 0: never.")
    ] = 24
    close_quiet_days: Annotated[
        _Days, Meta(description="An open alert of low severity without a new signal for so long is closed; 0: never.")
    ] = 14
    close_quiet_severity: Annotated[
        Severity, Meta(description="The gravest severity that is closed when it has been quiet.")
    ] = Severity.LOW
    close_flood_minutes: Annotated[
        _Minutes, Meta(description="A flood (D31, X3) without a new signal for so long has ended; 0: never by itself.")
    ] = 60
    close_healed_minutes: Annotated[
        _Minutes, Meta(description="An alert of a silent or blind agent (X8) is closed when it is well for so long.")
    ] = 10
