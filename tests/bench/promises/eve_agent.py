"""An agent that follows an EVE file which is written here: the smallest real capturing process whose input is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schoolwacht.event import Dataset
from schoolwacht.wire import Verdict, decode_event
from schoolwacht_agent.spool import Reader, look
from tests.bench.agents import Part, Tables, write_config

_NAME = ".written.example"


class EveAgent:
    """Its files, and what was written for it.

    Args:
        root: of all its files.
        tables: of agent.toml, beside those that it needs.
    """

    def __init__(self, root: Path, tables: Tables | None = None) -> None:
        self.root = root
        self.spool = root / "state" / "spool"
        self.written = 0
        self.eve = root / "eve.json"
        self.eve.touch()
        self._began = datetime.now(UTC) - timedelta(hours=2)
        needed: dict[str, Mapping[str, object]] = {
            "minimise": {"detail": "full"},
            "source": {"engine": "suricata"},
            "source.suricata": {"eve": str(self.eve), "eve_from_start": True},
        }
        self.config = write_config(root, needed | dict(tables or {}))

    def start(self, part: str = "capture", wrap: Callable[[Sequence[str]], list[str]] = list) -> Part:
        """Start its capturing or forwarding process."""
        return Part(self.config, part, wrap=wrap)

    def write(self, count: int) -> None:
        """More DNS queries, each with a name of its own."""
        with self.eve.open("a", encoding="utf-8") as file:
            for number in range(self.written, self.written + count):
                moment = self._began + timedelta(milliseconds=number)
                record = {
                    "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%f+0000"),
                    "event_type": "dns", "src_ip": "10.0.0.1", "src_port": 40_000, "dest_ip": "9.9.9.9",
                    "dest_port": 53, "proto": "UDP",
                    "dns": {"type": "query", "id": number % 65536, "rrname": f"n{number}{_NAME}", "rrtype": "A"},
                }  # fmt: skip
                file.write(json.dumps(record) + "\n")
        self.written += count

    def kept(self) -> int:
        """How many events the spool has taken in all, health included."""
        report = look(self.spool)
        return report.waiting + report.delivered + report.rejected if report is not None else 0

    def drained(self) -> list[int]:
        """Take everything out of the spool; the numbers of the queries, each as often as it came."""
        numbers = []
        with Reader(self.spool) as reader:
            while (portion := reader.take(2000, 4 << 20)) is not None:
                for item in portion.items:
                    event = decode_event(item.raw)
                    name = event.dns_question_name or ""
                    if event.event_dataset is Dataset.DNS and name.endswith(_NAME):
                        numbers.append(int(name.removesuffix(_NAME)[1:]))
                reader.settle(portion, [Verdict.DELIVERED] * len(portion.items))
        return numbers
