"""abuse.ch SSLBL: certificates of command servers by SHA-1, and its lists of addresses and JA3 fingerprints (CSV)."""

from __future__ import annotations

from collections.abc import Mapping

from schoolwacht_collector.indicators.abuse_ch import Headers, has_header, rows
from schoolwacht_collector.indicators.make import plain
from schoolwacht_collector.indicators.port import Format

_COMMON = {"provider": "abuse.ch SSLBL", "tlp": "CLEAR"}


def _certificate(row: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "type": "certificate-sha1",
        "value": row["sha1"],
        "valid_from": row["listingdate"],
        "description": plain(row["listingreason"]),
        **_COMMON,
    }


def _address(row: Mapping[str, str]) -> Mapping[str, str]:
    port = plain(row["dstport"], 10)
    return {
        "type": "address",
        "value": row["dstip"],
        "valid_from": row["firstseen"],
        "description": f"port {port}",
    } | _COMMON


def _ja3(row: Mapping[str, str]) -> Mapping[str, str]:
    reason = plain(row["listingreason"])
    # A fingerprint names a library more than a program.
    return {"type": "ja3", "value": row["ja3_md5"], "description": reason, "confidence": "Low"} | _COMMON


_HEADERS: Headers = {
    ("listingdate", "sha1", "listingreason"): _certificate,
    ("firstseen", "dstip", "dstport"): _address,
    ("ja3_md5", "firstseen", "lastseen", "listingreason"): _ja3,
}
FORMAT = Format(
    lambda text: has_header(text, _HEADERS), lambda text: rows(text, _HEADERS), "abuse.ch SSLBL: certificates by SHA-1"
)
