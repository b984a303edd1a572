"""Indicators from files of any known format; faults are told with file and line, and every good record is used.

Promise: a faulty piece gives an :class:`IndicatorError` with file, line and column (or the object's place), and the
rest is read. The same thing written in two ways (``hxxps://EVIL[.]example.``, ``evil.example``) gives the same record
and id.
Limits: 256 MiB a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from schoolwacht.errors import IndicatorError
from schoolwacht_collector.indicators import columns, feodo, json_lines, misp, plain_list, sslbl, stix, urlhaus
from schoolwacht_collector.indicators.make import make_indicator
from schoolwacht_collector.indicators.port import Format, Found, Text
from schoolwacht_collector.records import Indicator

FILE_MAX = 256 << 20

#: A new format is a module and a line here. The first that fits is used where none is named.
FORMATS: MappingProxyType[str, Format] = MappingProxyType(
    {
        "stix": stix.FORMAT,
        "misp": misp.FORMAT,
        "feodo": feodo.FORMAT,
        "sslbl": sslbl.FORMAT,
        "urlhaus": urlhaus.FORMAT,
        "jsonl": json_lines.FORMAT,
        "csv": columns.FORMAT,
        "list": plain_list.FORMAT,
    }
)


def load_indicators(
    path: Path,
    *,
    now: datetime | None = None,
    provider: str = "cert",
    format: str | None = None,  # noqa: A002 - what the command calls it
    given: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[Indicator], list[IndicatorError]]:
    """The indicators of a file, each once, and what is wrong with the other records.

    Args:
        path: a file in one of :data:`FORMATS`.
        now: the records' ``timestamp``; the clock's time if None.
        provider: who says so, where the file does not.
        format: the name of its format; seen from its beginning if None.
        given: columns of every record that does not have them itself.

    Raises IndicatorError if the file cannot be read at all.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_MAX + 1)  # also where the size is not known beforehand: a pipe, a device
    except OSError as error:
        raise IndicatorError(f"cannot be read: {error.strerror}", path=str(path)) from error
    if len(raw) > FILE_MAX:
        raise IndicatorError(f"is larger than {FILE_MAX >> 20} MiB; split it", path=str(path))
    return parse_indicators(raw, path=str(path), now=now, provider=provider, format=format, given=given)


def parse_indicators(
    raw: bytes,
    *,
    path: str,
    now: datetime | None = None,
    provider: str = "cert",
    format: str | None = None,  # noqa: A002 - what the command calls it
    given: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[Indicator], list[IndicatorError]]:
    """Like :func:`load_indicators`, from bytes; ``path`` is what errors call them. Of one id the last record counts."""
    now = datetime.now(UTC) if now is None else now
    text = Text(raw.removeprefix(b"\xef\xbb\xbf"), path)
    chosen = FORMATS[format or recognise(text)]
    base = dict(given)
    if chosen.days is not None:
        base.setdefault("valid_until", (now + timedelta(days=chosen.days)).isoformat())
    found: dict[str, Indicator] = {}
    faults: list[IndicatorError] = []
    for each in _survived(chosen, text):
        if isinstance(each, IndicatorError):
            faults.append(each)
            continue
        try:
            wanted = base | {name: value for name, value in each.columns.items() if value}
            indicator = make_indicator(wanted, now=now, provider=provider)
        except IndicatorError as error:
            place = ": ".join(part for part in (each.place, error.field) if part)
            faults.append(IndicatorError(error.message, path=path, line=each.line, field=place))
        else:
            found[indicator.id] = indicator
    return list(found.values()), sorted(faults, key=lambda fault: fault.line or 0)


def _survived(chosen: Format, text: Text) -> Iterator[Found]:
    """What a reader yields; where it gives the file up, that as the last fault."""
    try:
        yield from chosen.read(text)
    except IndicatorError as error:
        yield error


def recognise(text: Text) -> str:
    """The name of the first format that a file looks like."""
    return next(name for name, known in FORMATS.items() if known.fits(text))
