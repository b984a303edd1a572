"""Which detection sees what in which capture, with each engine: the table of docs/detection-captures.md.

    python -m tests.bench.detections tests/captures ../shared/captures --write docs/detection-captures.md
    python -m tests.bench.detections FILE… --engine packets

Runs ``schoolwacht analyse`` (the whole line, in a throw-away store) on every capture file named or in a folder named.
What is expected of a capture is the last cell of its row in the folder's README.md. Prints the table; exit code 1 if a
detection that is expected was seen by no engine, or if a capture of which nothing is expected at medium or above gave
such an alert.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from schoolwacht_collector.records import Alert, Severity
from schoolwacht_collector.score import at_least
from schoolwacht_console.analyse import analyse

ENGINES = ("suricata", "packets")
_SUFFIXES = (".pcap", ".pcapng", ".cap", ".trace", ".pcap.gz", ".pcap.zst")
_EXPECTED = re.compile(r"\b[DX]\d\d?\b")
_HEAD = """\
# Captures and detections

What `schoolwacht analyse` finds in each capture, with each engine: detection (or the rule's own id), highest severity,
and how often. Made by `python -m tests.bench.detections tests/captures [FOLDER…] --write docs/detection-captures.md`; a
dash is no alert. Captures in `tests/captures` belong to the project; others are published ones that a clone does not
have, and what their README calls an indicator was given by `--indicators FILE`. What the `packets` engine cannot see is
named in [detections.md](detections.md).
"""


class Row(NamedTuple):
    """A capture with what was found by engine."""

    capture: Path
    expected: str
    found: Mapping[str, list[Alert]]

    @property
    def faults(self) -> list[str]:
        """What is not as expected, in plain words."""
        faults = []
        rules = {alert.detection or alert.rule_id for alerts in self.found.values() for alert in alerts}
        if self.benign:
            faults += [
                f"{self.capture.name}: {engine} gives {alert.detection or alert.rule_id} {alert.severity.value}"
                for engine, alerts in self.found.items()
                for alert in alerts
                if at_least(alert.severity, Severity.MEDIUM)
            ]
        else:
            # "D04, not D18": what comes after a "not" is expected to be absent.
            wanted, _, unwanted = self.expected.partition("not ")
            faults += [f"{self.capture.name}: no {one}" for one in _EXPECTED.findall(wanted) if one not in rules]
            faults += [f"{self.capture.name}: {one}" for one in _EXPECTED.findall(unwanted) if one in rules]
        return faults

    @property
    def benign(self) -> bool:
        """Whether nothing at medium or above is expected."""
        return self.expected.startswith("nothing")


def captures(places: Iterable[Path]) -> Iterator[Path]:
    """The files named, and those in the folders named (of which their README tells), in order of name."""
    for place in places:
        if place.is_dir():
            known = expectations(place)
            files = (path for path in sorted(place.iterdir()) if path.name.endswith(_SUFFIXES))
            yield from (path for path in files if not known or path.name in known)
        else:
            yield place


def expectations(folder: Path) -> dict[str, str]:
    """What the README of a folder expects of each file: the last cell of its row."""
    readme = folder / "README.md"
    if not readme.exists():
        return {}
    rows = (line.strip().strip("|").split("|") for line in readme.read_text("utf-8").splitlines() if "|" in line)
    return {cells[0].strip().strip("`"): cells[-1].strip() for cells in rows if len(cells) > 1}


async def look(capture: Path, engines: Iterable[str], indicators: tuple[Path, ...]) -> Row:
    """What is found in one capture. Indicators beside it (``indicators.csv``) are loaded, too."""
    beside = capture.parent / "indicators.csv"
    lists = (*indicators, *((beside,) if beside.exists() else ()))
    found = {}
    for engine in engines:
        result = await analyse((capture,), engine=engine, indicators=lists)
        found[engine] = result.alerts
    return Row(capture, expectations(capture.parent).get(capture.name, ""), found)


def cell(alerts: Iterable[Alert]) -> str:
    """Alerts of one engine as text: each rule once, with its highest severity and how many signals it folded."""
    best: dict[str, tuple[int, Alert, int]] = {}
    for alert in alerts:
        rule = alert.detection or alert.rule_id or "?"
        _, highest, count = best.get(rule, (0, alert, 0))
        best[rule] = (0, max(highest, alert, key=lambda one: one.score), count + alert.count)
    parts = (
        f"{rule} {alert.severity.value}" + (f" ×{count}" if count > 1 else "")
        for rule, (_, alert, count) in sorted(best.items())
    )
    return ", ".join(parts) or "–"


def table(rows: Iterable[Row], engines: Sequence[str]) -> str:
    """The rows as a Markdown table."""
    lines = [f"| capture | expected | {' | '.join(engines)} |", f"|---|---|{'---|' * len(engines)}"]
    lines += [
        f"| {row.capture.name} | {row.expected or ' '} | {' | '.join(cell(alerts) for alerts in row.found.values())} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def title(folder: Path) -> str:
    """What the README of a folder calls it, else its name."""
    readme = folder / "README.md"
    first = readme.read_text("utf-8").partition("\n")[0] if readme.exists() else ""
    return first.lstrip("# ").strip() or folder.name


def page(rows: list[Row], engines: Sequence[str]) -> str:
    """The whole page: a table for each folder."""
    folders = dict.fromkeys(row.capture.parent for row in rows)
    tables = (
        f"## {title(folder)}\n\n{table((row for row in rows if row.capture.parent == folder), engines)}"
        for folder in folders
    )
    faults = [fault for row in rows for fault in row.faults]
    verdict = "Nothing is otherwise than expected.\n" if not faults else "Otherwise than expected:\n\n"
    return "\n".join((_HEAD, *tables, verdict)) + "".join(f"- {fault}\n" for fault in faults)


async def main() -> int:
    """Look into every capture."""
    parser = argparse.ArgumentParser(description="Which detection sees what in which capture, with each engine.")
    parser.add_argument("captures", nargs="+", type=Path, metavar="CAPTURE", help="capture files and folders of them")
    parser.add_argument("--engine", choices=ENGINES, action="append", help="default: both")
    parser.add_argument("--indicators", type=Path, action="append", default=[], metavar="FILE", help="for all captures")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the page to write")
    arguments = parser.parse_args()
    engines = tuple(arguments.engine or ENGINES)
    rows = []
    for capture in captures(arguments.captures):
        row = await look(capture, engines, tuple(arguments.indicators))
        rows.append(row)
        print(f"{capture.name}: {' | '.join(cell(alerts) for alerts in row.found.values())}", flush=True)
    if arguments.write is not None:
        arguments.write.write_text(page(rows, engines), "utf-8")
    faults = [fault for row in rows for fault in row.faults]
    print("\n".join(faults) or "nothing is otherwise than expected")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
