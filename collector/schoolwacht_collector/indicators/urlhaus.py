"""abuse.ch URLhaus: URLs that spread malware (CSV). One that is offline has confidence Medium."""

from __future__ import annotations

from collections.abc import Mapping

from schoolwacht_collector.indicators.abuse_ch import Headers, has_header, rows
from schoolwacht_collector.indicators.make import plain
from schoolwacht_collector.indicators.port import Format


def _row(row: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "type": "url",
        "value": row["url"],
        "description": plain(f"{row['threat']} {row['tags']}".replace("None", "")),
        "confidence": "Medium" if row["url_status"] == "offline" else "High",
        "valid_from": row["dateadded"],
        "reference": plain(row["urlhaus_link"], 256),
        "provider": "abuse.ch URLhaus",
        "tlp": "CLEAR",
    }


_HEADERS: Headers = {
    (
        "id", "dateadded", "url", "url_status", "last_online", "threat", "tags", "urlhaus_link", "reporter",
    ): _row,
}  # fmt: skip
FORMAT = Format(
    lambda text: has_header(text, _HEADERS),
    lambda text: rows(text, _HEADERS),
    "abuse.ch URLhaus: URLs of malware",
    days=30,
)
