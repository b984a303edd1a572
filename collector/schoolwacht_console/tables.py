"""Tables on a terminal. Text of the network comes in as plain, inert text: no markup, no escape sequence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from schoolwacht_console.headline import ends, headline
from schoolwacht_console.inert import inert
from schoolwacht_console.rendering import clock, value_text

SEVERITY_STYLES = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "yellow",
    "low": "cyan",
    "informational": "dim",
}


#: Columns of a terminal below which the less important facts of a table are left out.
ROOMY = 132
_ANY_WIDTH = 10_000


class Column(NamedTuple):
    """A column: its heading, whether its figures stand right, and its least width if it may break into lines."""

    heading: str
    right: bool = False
    wraps: int = 0


def table(columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table of inert text."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(
            column.heading,
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
            min_width=column.wraps or None,
        )
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in row))
    return made


def plain(text: str, style: str = "") -> Text:
    """Inert text that rich takes as it is."""
    return Text(inert(text), style=style)


def alerts(found: Iterable[Mapping[str, Any]], *, roomy: bool = True) -> Table:
    """Alerts (flat rows): severity, score, rule, title, entity, count, last; if roomy, school, first and technique."""
    columns = (
        Column("Severity"),
        Column("Score", right=True),
        Column("Rule"),
        Column("Title", wraps=22),
        Column("Entity", wraps=10),
        Column("Signals", right=True),
        Column("Last (UTC)"),
        *((Column("First (UTC)"), Column("Technique", wraps=9), Column("School")) if roomy else ()),
    )
    return table(columns, (_alert(row)[: len(columns)] for row in found))


def triage(found: Iterable[Mapping[str, Any]]) -> Table:
    """Alerts as one lists them to work on: with id and state."""
    columns = (
        Column("Id"),
        Column("Severity"),
        Column("State"),
        Column("Title", wraps=12),
        Column("School"),
        Column("Entity", wraps=12),
        Column("Signals", right=True),
        Column("Last (UTC)"),
    )
    return table(
        columns,
        (
            (
                row["id"],
                severity(row),
                _state(row),
                row["alert.title"],
                _where(row),
                row["signal.entity"],
                str(row["alert.count"]),
                clock(row["alert.last"]),
            )
            for row in found
        ),
    )


def events(found: Iterable[Mapping[str, Any]]) -> Table:
    """Events or signals (flat rows)."""
    columns = (
        Column("Time (UTC)"),
        Column("About"),
        Column("School"),
        Column("Source"),
        Column("Destination"),
        Column("What was seen", wraps=12),
    )
    return table(
        columns,
        (
            (
                clock(row["@timestamp"]),
                str(row.get("event.dataset", "")),
                str(row.get("school.location", "")),
                *ends(dict(row)),
                headline(dict(row)),
            )
            for row in found
        ),
    )


def agents(found: Iterable[Mapping[str, Any]]) -> Table:
    """Agents and their counters."""
    columns = (
        Column("Agent"),
        Column("Schools", wraps=12),
        Column("Board"),
        Column("Last heard of (UTC)"),
        Column("Stored", right=True),
        Column("Rejected", right=True),
        Column("Version"),
        Column("State"),
        Column("Ledger", wraps=10),
    )
    return table(
        columns,
        (
            (
                row["id"],
                ", ".join(f"{school['location']} {school.get('name', '')}".strip() for school in row["agent.schools"]),
                row["organization.id"],
                clock(row["agent.last_seen"]) if row.get("agent.last_seen") else "never",
                f"{row.get('agent.stored', 0):,}",
                f"{row.get('agent.rejected', 0):,}",
                row.get("agent.version", "unknown"),
                "enabled" if row.get("agent.enabled", True) else "disabled",
                _missing(row),
            )
            for row in found
        ),
    )


def _missing(row: Mapping[str, Any]) -> Text:
    if not row.get("ledger.difference"):
        return plain("balances")
    return plain(f"{row['ledger.difference']:,} missing since {clock(row['ledger.since'])}", "bold red")


def ledger_lines(found: Mapping[str, Any]) -> list[str]:
    """What an agent's ledger says before its days."""
    lines = [f"{inert(found['agent'])}: {found['waiting']:,} events wait in its spool"]
    if found["difference"]:
        lines.append(f"{found['difference']:,} events are missing since {clock(found['since'])}")
    elif any(day["stored"] for day in found["days"]) and not any(day["seen"] for day in found["days"]):
        lines.append("the agent has not told yet what it saw and kept: there is nothing to balance")
    else:
        lines.append("the ledger balances")
    for name, meaning in (
        ("unexplained", "do not add up in the spool's own sums"),
        ("vanished", "waited in a spool that is gone"),
        ("uncounted", "were taken, as the agent says, and no collector knows of it"),
    ):
        if found[name]:
            lines.append(f"  {found[name]:,} {meaning}")
    if found["accepted"]:
        lines.append(
            f"  {found['accepted']:,} accepted by {inert(found['accepted_by'] or '')}: {inert(found['reason'] or '')}"
        )
    return lines


_LEDGER = ("seen", "kept", "sent", "stored", "again", "rejected", "shed", "expired", "evicted", "corrupt", "unfit")


def ledger(days: Iterable[Mapping[str, Any]]) -> Table:
    """The days of an agent's ledger."""
    columns = (Column("Day (UTC)"), *(Column(name.capitalize(), right=True) for name in _LEDGER))
    return table(
        columns,
        (
            ("before" if day["day"].startswith("0000") else day["day"], *(f"{day[name]:,}" for name in _LEDGER))
            for day in days
        ),
    )


def indicators(found: Iterable[Mapping[str, Any]]) -> Table:
    """Indicators."""
    columns = (
        Column("Type"),
        Column("Value", wraps=12),
        Column("Provider"),
        Column("Confidence"),
        Column("TLP"),
        Column("Valid until (UTC)"),
        Column("Seen", right=True),
        Column("Schools", right=True),
        Column("Last seen (UTC)"),
        Column("Description", wraps=12),
    )
    return table(
        columns,
        (
            (
                row["threat.indicator.type"],
                row["threat.indicator.name"],
                row.get("threat.indicator.provider", "cert"),
                row.get("threat.indicator.confidence", "High"),
                row.get("threat.indicator.marking.tlp", "AMBER"),
                clock(row["threat.indicator.valid_until"]) if row.get("threat.indicator.valid_until") else "",
                f"{row.get('sightings.count', 0):,}",
                f"{row.get('sightings.schools', 0):,}",
                clock(row["sightings.last"]) if row.get("sightings.last") else "",
                row.get("threat.indicator.description", ""),
            )
            for row in found
        ),
    )


def sightings(found: Iterable[Mapping[str, Any]]) -> Table:
    """The schools at which an indicator was seen."""
    columns = (Column("School"), Column("Signals", right=True), Column("First (UTC)"), Column("Last (UTC)"))
    rows = ((row["school"], f"{row['count']:,}", clock(row["first"]), clock(row["last"])) for row in found)
    return table(columns, rows)


def seen(found: Iterable[Mapping[str, Any]]) -> Table:
    """Since when and at how many schools values are known."""
    columns = (
        Column("Seen as"),
        Column("Value", wraps=12),
        Column("First (UTC)"),
        Column("Last (UTC)"),
        Column("Schools", right=True),
        Column("Boards", right=True),
    )
    return table(
        columns,
        (
            (
                row["kind"],
                row["value"],
                clock(row["first"]),
                clock(row["last"]),
                "under 5" if row.get("schools") is None else f"{row['schools']:,}",
                "" if row.get("boards") is None else f"{row['boards']:,}",
            )
            for row in found
        ),
    )


def facts(row: Mapping[str, Any]) -> Table:
    """Every field of one row, a line each."""
    return table((Column("Field"), Column("Value", wraps=12)), ((name, value_text(row[name])) for name in sorted(row)))


def severity(row: Mapping[str, Any]) -> Text:
    """The severity of an alert, in words; the colour only repeats it."""
    name = str(row["alert.severity"])
    return plain(name, SEVERITY_STYLES.get(name, ""))


def show(console: Console, made: Table) -> None:
    """Print a table; where nobody looks (a pipe) it is as wide as it needs."""
    if not console.is_terminal:
        wide = Console(width=_ANY_WIDTH)
        console = Console(file=console.file, width=Measurement.get(wide, wide.options, made).maximum, color_system=None)
    console.print(made, emoji=False, highlight=False, markup=False)


def is_roomy(console: Console) -> bool:
    """Whether tables may show all their facts."""
    return not console.is_terminal or console.width >= ROOMY


def _state(row: Mapping[str, Any]) -> str:
    """The state of an alert, and why nobody is told of it."""
    silent = next((word for word, name in _SILENT if row.get(name)), "")
    return f"{row['alert.state']}, {silent}" if silent else str(row["alert.state"])


_SILENT = (("hidden", "alert.suppressed_by"), ("test", "alert.test"), ("snoozed", "alert.snoozed_until"))


def _alert(row: Mapping[str, Any]) -> Sequence[str | Text]:
    return (
        severity(row),
        str(row["alert.score"]),
        str(row.get("signal.detection") or row["rule.id"]),
        row["alert.title"],
        row["signal.entity"],
        str(row["alert.count"]),
        clock(row["alert.last"]),
        clock(row["alert.first"]),
        ", ".join(row.get("threat.technique.id") or ()),
        _where(row),
    )


def _where(row: Mapping[str, Any]) -> str:
    """The school of an alert, or at how many it is."""
    return f"{row['alert.school_count']:,} schools" if row.get("alert.school_count") else row["school.location"]
