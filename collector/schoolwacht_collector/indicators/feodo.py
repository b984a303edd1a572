"""abuse.ch Feodo Tracker: command servers by address, as JSON or CSV. One that is offline has confidence Medium."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from schoolwacht.errors import IndicatorError
from schoolwacht_collector.indicators.abuse_ch import Headers, has_header, rows
from schoolwacht_collector.indicators.make import plain
from schoolwacht_collector.indicators.port import (
    Format,
    Found,
    Record,
    Text,
    line_of,
    list_of,
    record_of,
    text_of,
    whole_json,
)


def _columns(address: str, port: str, status: str, first: str, malware: str) -> dict[str, str]:
    return {
        "type": "address",
        "value": address,
        "description": plain(f"{malware} command server, port {port}"),
        "confidence": "Medium" if status == "offline" else "High",
        "valid_from": first,
        "provider": "abuse.ch Feodo Tracker",
        "tlp": "CLEAR",
    }


def _row(row: Mapping[str, str]) -> Mapping[str, str]:
    return _columns(row["dst_ip"], row["dst_port"], row["c2_status"], row["first_seen_utc"], row["malware"])


_HEADERS: Headers = {("first_seen_utc", "dst_ip", "dst_port", "c2_status", "last_online", "malware"): _row}


def _read(text: Text) -> Iterator[Found]:
    if not text.head.startswith("["):
        yield from rows(text, _HEADERS)
        return
    after = 0
    for place, each in enumerate(map(record_of, list_of(whole_json(text)))):
        address = text_of(each.get("ip_address"))
        line, after = line_of(text, f'"{address}"', after)
        if not address:
            yield IndicatorError("has no ip_address", path=text.path, line=line, field=f"[{place}]")
            continue
        names = ("port", "status", "first_seen", "malware")
        yield Record(line, _columns(address, *(text_of(each.get(name)) for name in names)), f"[{place}]")


def _fits(text: Text) -> bool:
    head = text.head
    return (head.startswith("[") and '"ip_address"' in head) or has_header(text, _HEADERS)


FORMAT = Format(_fits, _read, "abuse.ch Feodo Tracker: command servers by address", days=30)
