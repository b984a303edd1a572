"""An indicator from the columns of a record: checked, made normal, refused where it would do harm. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time

from schoolwacht.errors import IndicatorError
from schoolwacht.event import KEYWORD_MAX, TEXT_MAX, clip
from schoolwacht.indicators import IndicatorType, indicator_id
from schoolwacht_collector import tlp
from schoolwacht_collector.match.values import guess_type, normalise, printable
from schoolwacht_collector.records import Indicator

COLUMNS = ("type", "value", "provider", "description", "confidence", "tlp", "valid_from", "valid_until", "reference")
CONFIDENCES = ("High", "Medium", "Low")


def plain(text: str, limit: int = TEXT_MAX) -> str:
    """Text of somebody else's file as a column may hold it: one line, without control characters, cut to size."""
    return clip("".join(sign if sign.isprintable() else " " for sign in text).strip(), limit)


def make_indicator(fields: Mapping[str, str], *, now: datetime, provider: str = "cert") -> Indicator:
    """A checked, normal record from the columns of one line; without ``type`` it is seen from the value's form.

    Raises IndicatorError that names the column.
    """
    given = {name: text.strip() for name, text in fields.items()}
    value = given.get("value", "")
    if not value:
        raise IndicatorError("is empty", field="value")
    kind = _type(given["type"]) if given.get("type") else guess_type(value)
    value = normalise(kind, value)
    return Indicator(
        id=indicator_id(kind, value),
        timestamp=now,
        type=kind,
        value=value,
        provider=printable(given.get("provider") or provider, "provider", KEYWORD_MAX),
        description=printable(given.get("description", ""), "description", TEXT_MAX),
        confidence=_confidence(given.get("confidence") or "High"),
        tlp=_tlp(given.get("tlp") or "AMBER"),
        valid_from=_moment(given["valid_from"], "valid_from") if given.get("valid_from") else None,
        valid_until=_moment(given["valid_until"], "valid_until", end=True) if given.get("valid_until") else None,
        reference=printable(given.get("reference", ""), "reference", KEYWORD_MAX),
        added=now,
    )


def _type(text: str) -> IndicatorType:
    try:
        return IndicatorType(text.lower())
    except ValueError as error:
        raise IndicatorError(f'"{text}" is none of {", ".join(IndicatorType)}', field="type") from error


def _confidence(text: str) -> str:
    word = text.capitalize()
    if word not in CONFIDENCES:
        raise IndicatorError(f'"{text}" is none of {", ".join(CONFIDENCES)}', field="confidence")
    return word


def _tlp(text: str) -> str:
    try:
        return tlp.read(text).value
    except ValueError as error:
        raise IndicatorError(f'"{text}" is none of {", ".join(tlp.Tlp)}', field="tlp") from error


def _moment(text: str, column: str, *, end: bool = False) -> datetime:
    """ISO 8601; a day alone means its beginning, or its ``end``; a time without zone is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        if len(text) <= 10:
            moment = datetime.combine(moment.date(), time.max if end else time.min)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise IndicatorError(f'"{text}" is no date or time such as 2027-01-31', field=column) from error
