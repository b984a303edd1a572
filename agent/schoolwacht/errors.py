"""The errors of both programs: one root, and the place of a fault as fields.

::

    SchoolwachtError
    ├── ConfigError          a setting is missing, unknown or out of range
    ├── WireError            bytes that are no batch or reply of ours
    ├── SourceError          packets or EVE cannot be read
    │   └── CaptureError     a capture file is truncated, empty, unreadable or no capture
    ├── SpoolError           the durable queue cannot be opened or written
    ├── QueryError           a search that cannot be understood
    ├── StoreError           the store refused or did not answer
    │   └── Conflict         somebody else changed the record first
    ├── IndicatorError       an indicator that cannot be used
    ├── RuleError            a detection rule that cannot be used
    └── UnmaskError          a pseudonym cannot be unmasked: people, keys, registers, audit

Exceptions of other libraries are translated into these where they enter (in the adapter), with ``from``.
"""

from __future__ import annotations


class SchoolwachtError(Exception):
    """Root of every error a user may see.

    Args:
        message: what is wrong and, where it helps, the way out; plain English, no trailing full stop.
        path: the file, if one is at fault.
        line: its line, from 1.
        field: the setting, field or column, dotted.
    """

    def __init__(
        self, message: str, *, path: str | None = None, line: int | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.line = line
        self.field = field

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.path, self.line) if part is not None)
        return ": ".join(part for part in (place, self.field, self.message) if part)


class ConfigError(SchoolwachtError):
    """A setting is missing, unknown or out of range."""


class WireError(SchoolwachtError):
    """Bytes that are no batch or reply of ours, or that break a limit of the wire."""


class SourceError(SchoolwachtError):
    """Packets or EVE records cannot be read."""


class CaptureError(SourceError):
    """A capture file is truncated, empty, unreadable or no capture."""


class SpoolError(SchoolwachtError):
    """The durable queue cannot be opened or written."""


class QueryError(SchoolwachtError):
    """A search that cannot be understood. ``line`` is unused; ``column`` counts from 1.

    Args:
        message: what is wrong and how to write it instead.
        column: where in the query.
        field: the field name, if one is at fault.
    """

    def __init__(self, message: str, *, column: int | None = None, field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.column = column

    def __str__(self) -> str:
        place = f"column {self.column}" if self.column is not None else None
        return ": ".join(part for part in (place, self.field, self.message) if part)


class StoreError(SchoolwachtError):
    """The store refused or did not answer."""


class Conflict(StoreError):  # noqa: N818 - names what happened; every store's users call it a conflict
    """A record changed since it was read (compare-and-set)."""


class IndicatorError(SchoolwachtError):
    """An indicator that cannot be used."""


class RuleError(SchoolwachtError):
    """A detection rule that cannot be used."""


class UnmaskError(SchoolwachtError):
    """A pseudonym cannot be unmasked, or what is needed for it cannot be made."""
