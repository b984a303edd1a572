"""Events that no collector takes, with the reason: set aside, so that they never stop the line and can be looked at.

JSON lines in ``SPOOL/rejected/``: the file being written and the one before it, together within a bound; what is
older goes. An event stands in it decoded where that is possible, and always as its bytes (base64), so that it can be
appended again. A crash can leave a line twice, or the last line torn.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from schoolwacht.errors import WireError
from schoolwacht.wire import decode_event

_CURRENT = "rejected.jsonl"
_BEFORE = "rejected.1.jsonl"


class SetAside:
    """The file of rejected events.

    Args:
        directory: the spool's ``rejected`` directory; made when it is first needed.
        max_bytes: bound on both files together.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._half = max_bytes // 2

    def add(self, epoch: str, sequence: int, raw: bytes, reason: str) -> None:
        """Set one event aside. Raises OSError."""
        line = msgspec.json.encode(
            {
                "at": datetime.now(UTC),
                "epoch": epoch,
                "sequence": sequence,
                "reason": reason,
                "event": _readable(raw),
                "raw": base64.b64encode(raw).decode(),
            }
        )
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        current = self._directory / _CURRENT
        if current.exists() and current.stat().st_size + len(line) + 1 > self._half:
            current.replace(self._directory / _BEFORE)
        if len(line) + 1 <= self._half:
            with current.open("ab") as file:
                file.write(line + b"\n")

    def lines(self) -> list[dict[str, Any]]:
        """What is set aside, oldest first; a torn line is left out."""
        found = []
        for name in (_BEFORE, _CURRENT):
            path = self._directory / name
            for line in path.read_bytes().splitlines() if path.exists() else []:
                try:
                    found.append(msgspec.json.decode(line, type=dict[str, Any]))
                except msgspec.MsgspecError:
                    continue
        return found


def _readable(raw: bytes) -> Any:
    try:
        return msgspec.to_builtins(decode_event(raw))
    except WireError:
        return None
