"""The collector's secret, from which every board's key for event ids is derived.

Promise: made once, by ``init``, readable by nobody else; never logged. With it ids of events cannot be guessed or
claimed beforehand by an agent.

If it is lost: nothing that is stored becomes unreadable. A new one gives new ids, so an event that was stored but whose
acknowledgement did not reach its agent can be stored a second time, and so can its signals (their alerts then count
them twice). Collectors that share a store must share the secret, for the same reason.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from schoolwacht import config
from schoolwacht.errors import ConfigError

VARIABLE = "SCHOOLWACHT_COLLECTOR_SECRET"
FILE = "secret"
#: Characters: 32 random bytes in URL-safe base64 have 43.
SHORTEST = 32


def present(state: Path) -> bool:
    """Whether there is a secret, in the environment or in the state directory."""
    return bool(os.environ.get(VARIABLE)) or (state / FILE).exists()


def make(state: Path) -> bool:
    """Make the secret unless there is one. Whether it was made. Raises ConfigError."""
    if present(state):
        load(state)
        return False
    make_directory(state)
    path = state / FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(
            f"the collector's secret cannot be made: {error.strerror}", path=str(path), field="collector.state"
        ) from error
    return True


def make_directory(state: Path) -> None:
    """Make the state directory, for the collector alone, unless it is there. Raises ConfigError."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(
            f"the state directory cannot be made: {error.strerror}", path=str(state), field="collector.state"
        ) from error


def load(state: Path) -> bytes:
    """The secret. Raises ConfigError that says what a missing one means."""
    path = state / FILE
    if not present(state):
        raise ConfigError(
            f"the collector's secret is not there: set {VARIABLE}, put the file back from a backup, or make one with"
            " schoolwacht-collector init (with another secret, events that agents send again get other ids and can be"
            " stored twice)",
            path=str(path),
            field="collector.state",
        )
    text = config.secret(VARIABLE, file=path, setting="collector.state")
    if len(text) < SHORTEST:
        raise ConfigError(
            f"the collector's secret has {len(text)} characters, at least {SHORTEST} are needed", path=str(path)
        )
    return text.encode()


def board_key(secret: bytes, board: str) -> bytes:
    """The key (32 bytes) with which the ids of a board's events are made."""
    return hmac.digest(secret, b"schoolwacht event id\0" + board.encode(), "sha256")


def fingerprint(secret: bytes) -> str:
    """Eight hexadecimal digits that tell whether two collectors have the same secret, and nothing else of it."""
    return hashlib.sha256(board_key(secret, "fingerprint")).hexdigest()[:8]
