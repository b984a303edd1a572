"""The board's key: a file with a chain of keys, one a period, of which the past is forgotten.

The key of the next period is made of this one's (HMAC-SHA-256); the way back does not exist. The file holds the key of
the period before this one, for events that come late, and is written anew at each change. So whoever takes the gateway
can test guesses against the pseudonyms of two periods at most, not against those that lie in the store for years. All
agents of a board start from copies of one file and give the same pseudonyms.

The file also holds the public key to which the register is sealed (``register.py``), if the board made one.
Unmasking needs the private key, which two people open together (``seal.py``) and which is on no gateway.

Limits: an event from before the oldest period held gets that period's pseudonyms; one from further in the future than
the next period, the next one's. An agent that was off for longer than a period starts from where its file stands.
"""

from __future__ import annotations

import base64
import hmac
import logging
import os
import secrets
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct, structs

from schoolwacht.errors import ConfigError
from schoolwacht_agent.minimise.period import Period, name_of, number_of, start_of

log = logging.getLogger(__name__)

KEY_BYTES = 32


class BoardKey(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the file says. ``key`` is of period number ``number``, hexadecimal; ``register`` a public X25519 key."""

    format: Literal["schoolwacht-board-key-1"] = "schoolwacht-board-key-1"
    period: Period
    number: Annotated[int, Meta(ge=0, le=1_000_000)]
    key: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    register: Annotated[str, Meta(pattern="^([A-Za-z0-9+/]{43}=)?$")] = ""


class Epoch(NamedTuple):
    """One period: its name, its key, and the moments for which it holds (``until`` excluded)."""

    number: int
    name: str
    key: bytes
    since: datetime
    until: datetime


def new_key(period: Period, now: datetime, *, register: bytes | None = None) -> BoardKey:
    """A key that begins with the period before ``now``'s, so that what comes late has its own."""
    return BoardKey(
        period=period,
        number=max(1, number_of(period, now) - 1),
        key=secrets.token_hex(KEY_BYTES),
        register=base64.b64encode(register).decode() if register else "",
    )


def write(path: Path, key: BoardKey) -> None:
    """Write the file, mode 600, whole or not at all. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(key)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read(path: Path) -> BoardKey:
    """Read the file. Raises ConfigError that names it."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(f"others can read it: chmod 600 {path}", path=str(path), field="minimise.key_file")
        return msgspec.json.decode(path.read_bytes(), type=BoardKey)
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror} (`schoolwacht-agent key create` makes one)",
            path=str(path),
            field="minimise.key_file",
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"is no key file of a board: {error}", path=str(path), field="minimise.key_file") from error


class Keys:
    """The keys of the periods that count now.

    Args:
        key: as read from the file.
        path: the file, to be written when its oldest key is to be forgotten; None keeps it.
        clock: the time.
    """

    def __init__(
        self, key: BoardKey, path: Path | None = None, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._key = key
        self._path = path
        self._clock = clock
        self._forget()

    @property
    def register(self) -> bytes | None:
        """The public key of the register, if the board has one."""
        return base64.b64decode(self._key.register) if self._key.register else None

    def of(self, moment: datetime) -> Epoch:
        """The epoch whose pseudonyms an event of ``moment`` gets."""
        period = self._key.period
        newest = max(number_of(period, self._clock()) + 1, self._key.number)
        number = number_of(period, moment)
        if number > self._key.number + 1:
            self._forget()
        held = max(self._key.number, min(number, newest))
        key = bytes.fromhex(self._key.key)
        for _ in range(held - self._key.number):
            key = _next(key)
        # The oldest also holds for all that lies before it, the newest for all that lies after.
        since = datetime.min.replace(tzinfo=UTC) if held == self._key.number else start_of(period, held)
        return Epoch(held, name_of(period, held), key, since, start_of(period, max(held, number) + 1))

    def _forget(self) -> None:
        """Go on to the key of the period before this one."""
        wanted = number_of(self._key.period, self._clock()) - 1
        if wanted <= self._key.number:
            return
        key = bytes.fromhex(self._key.key)
        for _ in range(wanted - self._key.number):
            key = _next(key)
        self._key = structs.replace(self._key, number=wanted, key=key.hex())
        if self._path is None:
            return
        try:
            write(self._path, self._key)
        except OSError as error:
            log.warning("%s: the key of a past period cannot be erased: %s", self._path, error.strerror)


def open_keys(path: Path, period: Period, *, make: bool) -> Keys:
    """The keys of a file. Raises ConfigError.

    Args:
        path: the file.
        period: as configured.
        make: whether to make one if there is none, with which nothing can be unmasked.
    """
    if make and not path.exists():
        try:
            write(path, new_key(period, datetime.now(UTC)))
        except OSError as error:
            raise ConfigError(
                f"cannot be written: {error.strerror}", path=str(path), field="minimise.key_file"
            ) from error
        log.info("made a key for pseudonyms, %s; nothing can be unmasked without `key create`", path)
    return Keys(checked(path, period), path)


def checked(path: Path, period: Period) -> BoardKey:
    """The key of a file, if it is for the configured period. Raises ConfigError."""
    key = read(path)
    if key.period is not period:
        raise ConfigError(
            f'is "{period.value}", but the key in {path} was made for "{key.period.value}"', field="minimise.period"
        )
    return key


def _next(key: bytes) -> bytes:
    return hmac.digest(key, b"schoolwacht: the key of the next period", "sha256")
