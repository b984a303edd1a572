"""Orders to a running Suricata over its command socket.

The protocol is JSON objects in both directions: a greeting with a version, then one answer for each command (Suricata's
documentation, "Interacting via Unix Socket"). A connection is opened for each order, so that nothing has to be kept
alive while Suricata is started again.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import msgspec

from schoolwacht.errors import SourceError

_PROTOCOL = "0.2"
_ANSWER_MAX = 1 << 20


class _Answer(msgspec.Struct):
    # "return" is a word of Python.
    outcome: str = msgspec.field(default="", name="return")
    message: Any = None


def order(path: Path, command: str, *, seconds: float = 30.0, **arguments: object) -> object:
    """Give one order and wait for its answer; what Suricata says to it. Raises SourceError if it does not obey."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
            _ask(connection, {"version": _PROTOCOL}, path)
            asked: dict[str, object] = {"command": command}
            if arguments:
                asked["arguments"] = arguments
            return _ask(connection, asked, path)
    except OSError as error:
        raise SourceError(f"Suricata's command socket cannot be used: {error}", path=str(path)) from error


def _ask(connection: socket.socket, asked: dict[str, object], path: Path) -> object:
    connection.sendall(msgspec.json.encode(asked) + b"\n")
    raw = b""
    while len(raw) < _ANSWER_MAX:
        chunk = connection.recv(64 << 10)
        if not chunk:
            raise SourceError("Suricata ended the conversation on its command socket", path=str(path))
        raw += chunk
        try:
            answer = msgspec.json.decode(raw, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue  # more of it is to come; the time-out ends it
        if answer.outcome != "OK":
            raise SourceError(f"Suricata refuses {asked}: {answer.message}", path=str(path))
        said: object = answer.message
        return said
    raise SourceError("Suricata says too much on its command socket", path=str(path))
