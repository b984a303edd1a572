"""The mapping of a path of many schools: a CSV file, one network or VLAN of one school a line.

::

    network,vlan,school,zone
    203.0.113.0/26,,00AB00,staff
    203.0.113.64/26,,00AB00,pupil
    2001:db8:21::/48,,00AB00,
    10.21.0.0/16,1203,11CD01,
    ,1204.20,11CD02,

A line has a network, a VLAN (1–4094, or outer.inner of QinQ) or both; then both must fit. A line with a VLAN only says
whose the traffic on it is; which end is the school's is then said by agent.home. Columns may stand in any order and be
parted by comma or semicolon; empty lines and lines that begin with ``#`` are skipped.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from schoolwacht.errors import ConfigError
from schoolwacht_agent.standpoint.settings import VLAN_MAX, ZONE_PATTERN
from schoolwacht_agent.standpoint.table import Entry, Network, Place

COLUMNS = ("network", "vlan", "school", "zone")
_EMPTY = dict.fromkeys(COLUMNS, "")
#: Larger files are refused: a mapping of every school in the country is a hundredth of it.
BYTES_MAX = 64 << 20
_LOCATION = re.compile(r"[0-9]{2}[A-Z]{2}[0-9]{2}")
_ZONE = re.compile(ZONE_PATTERN)


class _Line(NamedTuple):
    number: int
    entry: Entry


def parse_mapping(data: bytes, *, path: str, zones: Collection[str] = ()) -> list[Entry]:
    """The entries of a mapping file.

    Args:
        data: the file.
        path: what errors call it.
        zones: names of ``[[zones]]``; if there are any, no other zone may be named.

    Raises ConfigError with the first line at fault, and how many more there are.
    """
    if len(data) > BYTES_MAX:
        raise ConfigError(f"is larger than {BYTES_MAX >> 20} MiB", path=path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = data[: error.start].count(b"\n") + 1
        raise ConfigError("is no UTF-8 text", path=path, line=place) from error
    lines = [
        (number, line)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise ConfigError(f"is empty: its first line is {','.join(COLUMNS)}", path=path)
    delimiter, columns = _header(lines[0], path)
    faults: list[ConfigError] = []
    seen: dict[tuple[Network | None, str | None], _Line] = {}
    for number, line in lines[1:]:
        try:
            entry = _entry(_cells(line, delimiter), columns, zones)
        except ConfigError as error:
            faults.append(ConfigError(error.message, path=path, line=number, field=error.field))
            continue
        before = seen.setdefault((entry.network, entry.vlan), _Line(number, entry))
        if before.entry.place != entry.place:
            said = f"the same network and VLAN stand on line {before.number} for another place"
            faults.append(ConfigError(said, path=path, line=number))
    if faults:
        first, more = faults[0], len(faults) - 1
        also = f" ({more} more {'line is' if more == 1 else 'lines are'} at fault)" if more else ""
        raise ConfigError(first.message + also, path=path, line=first.line, field=first.field)
    if not seen:
        raise ConfigError("names no school", path=path)
    return [line.entry for line in seen.values()]


def _header(line: tuple[int, str], path: str) -> tuple[str, tuple[str, ...]]:
    number, text = line
    delimiter = ";" if text.count(";") > text.count(",") else ","
    columns = tuple(name.strip().strip('"').lower() for name in text.split(delimiter))
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown or len(set(columns)) != len(columns):
        raise ConfigError(
            f"the first line names the columns, each once: {','.join(COLUMNS)}; found {text.strip()[:80]!r}",
            path=path,
            line=number,
        )
    if "school" not in columns or not {"network", "vlan"} & set(columns):
        raise ConfigError("the columns school and network (or vlan) are required", path=path, line=number)
    return delimiter, columns


def _cells(line: str, delimiter: str) -> list[str]:
    if '"' not in line:
        return line.split(delimiter)
    # A reader of one line each: a quotation mark that does not end must not swallow the lines behind it.
    try:
        return next(csv.reader([line.rstrip("\r")], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ConfigError(f"no CSV: {error}") from error


def _entry(row: list[str], columns: tuple[str, ...], zones: Collection[str]) -> Entry:
    if len(row) != len(columns):
        raise ConfigError(f"has {len(row)} columns, the first line has {len(columns)}")
    cells = _EMPTY | {name: cell.strip() for name, cell in zip(columns, row, strict=True)}
    if not cells["network"] and not cells["vlan"]:
        raise ConfigError("needs a network, a VLAN or both")
    school, zone = cells["school"], cells["zone"]
    if not _LOCATION.fullmatch(school):
        raise ConfigError(f"{school[:40]!r} is no location such as 00AB00", field="school")
    if zone and zones and zone not in zones:
        raise ConfigError(f"{zone[:80]!r} is none of [[zones]]: {', '.join(sorted(zones))}", field="zone")
    if zone and not _ZONE.fullmatch(zone):
        raise ConfigError(
            "letters, digits, space, point, hyphen and underscore, at most 63, beginning with a letter or digit",
            field="zone",
        )
    return Entry(_network(cells["network"]), _vlan(cells["vlan"]), Place(school, zone or None))


def _network(text: str) -> Network | None:
    if not text:
        return None
    try:
        # By family and not ip_network(), which tries both and takes twice as long.
        network = IPv6Network(text) if ":" in text else IPv4Network(text)
    except ValueError as error:
        raise ConfigError(f"no network: {error}", field="network") from error
    if network.prefixlen == 0:
        raise ConfigError("a school does not have every address: name its networks, or only its VLAN", field="network")
    return network


def _vlan(text: str) -> str | None:
    if not text:
        return None
    tags = text.split(".")
    if len(tags) > 2 or not all(tag.isascii() and tag.isdigit() and 1 <= int(tag) <= VLAN_MAX for tag in tags):
        raise ConfigError(f"{text[:40]!r} is no VLAN: 1 to {VLAN_MAX}, or outer.inner of QinQ", field="vlan")
    return ".".join(str(int(tag)) for tag in tags)
