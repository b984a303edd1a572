"""The register: which value stands behind a pseudonym, sealed so that the gateway itself cannot read it.

One file a period, ``<state>/register/<period>.register``, mode 600, lines of text::

    K <ephemeral public key, base64>                a new writer: all that follows is sealed by it
    P <number> <pseudonym> <sealed value, base64>   AES-256-GCM; nonce = number, bound to the pseudonym

The key of a writer's lines comes from X25519 between its ephemeral key, of which the private half is never kept, and
the board's public key; HKDF-SHA-256 (RFC 5869). Only who has the board's private key reads them (``unmask``). Erasing
a file makes that period's pseudonyms anonymous, wherever they are stored.

A pseudonym is written once a period, before the first event that has it is kept, without waiting for the disk: after
a power cut the last may be missing until the value is seen again. A torn line is skipped.

Limits: bounded in bytes; beyond it pseudonyms are counted that cannot be unmasked. Without a public key nothing is
written.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

log = logging.getLogger(__name__)

SUFFIX = ".register"
_NONCE_BYTES = 12


class Entry(NamedTuple):
    """A line that was opened."""

    period: str
    pseudonym: str
    value: str


class Register:
    """Writes the registers of the periods that are in use.

    Args:
        directory: where they are.
        public: the board's public key; None writes nothing.
        max_bytes: size of one file.
        keep: how many files are kept, the newest.
    """

    def __init__(self, directory: Path, public: bytes | None, *, max_bytes: int, keep: int) -> None:
        self._directory = directory
        self._public = public
        self._max_bytes = max_bytes
        self._keep = keep
        self._files: dict[str, _File] = {}
        #: Pseudonyms that found no room.
        self.missed = 0

    def note(self, period: str, pseudonym: str, value: str) -> None:
        """Remember one, to be written at the next :meth:`flush`."""
        if self._public is None:
            return
        file = self._files.get(period)
        if file is None:
            file = self._files[period] = self._opened(period, self._public)
        if not file.note(pseudonym, value):
            self.missed += 1

    def flush(self) -> None:
        """Write what was noted."""
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        """Write and let go."""
        self.flush()
        self._files.clear()

    def _opened(self, period: str, public: bytes) -> _File:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for other in [*self._files]:
            if other < period and len(self._files) > 1:
                self._files.pop(other).flush()
        file = _File(self._directory / f"{period}{SUFFIX}", public, self._max_bytes)
        found = sorted(self._directory.glob(f"*{SUFFIX}"))
        names = sorted({*found, file.path})
        for old in names[: -self._keep]:
            old.unlink(missing_ok=True)
        return file


class _File:
    def __init__(self, path: Path, public: bytes, max_bytes: int) -> None:
        self.path = path
        ephemeral = X25519PrivateKey.generate()
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
        self._seal = AESGCM(_line_key(shared, path.name))
        self._max_bytes = max_bytes
        self._known = {_short(pseudonym) for pseudonym in _pseudonyms(path)}
        self._bytes = path.stat().st_size if path.exists() else 0
        self._number = 0
        head = f"K {base64.b64encode(ephemeral.public_key().public_bytes_raw()).decode()}\n"
        # A torn line of a writer that was killed must not swallow the first of this one.
        self._waiting: list[bytes] = [(f"\n{head}" if self._bytes else head).encode()]
        self._entries = 0
        self._refused = False

    def note(self, pseudonym: str, value: str) -> bool:
        short = _short(pseudonym)
        if short in self._known:
            return True
        number = self._number
        sealed = self._seal.encrypt(
            number.to_bytes(_NONCE_BYTES, "big"), value.encode("utf-8", "surrogatepass"), pseudonym.encode()
        )
        line = f"P {number} {pseudonym} {base64.b64encode(sealed).decode()}\n".encode()
        if self._bytes + len(line) > self._max_bytes:
            return False
        self._known.add(short)
        self._number += 1
        self._bytes += len(line)
        self._waiting.append(line)
        self._entries += 1
        return True

    def flush(self) -> None:
        """Write. What the disk refuses is written at the next call; a line that it took twice opens twice."""
        if not self._entries:
            return
        try:
            with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
                file.write(b"".join(self._waiting))
        except OSError as error:
            if not self._refused:
                log.warning("%s: cannot be written: %s; tried again with the next", self.path, error.strerror)
            self._refused = True
            return
        self._waiting, self._entries, self._refused = [], 0, False


def read(path: Path, private: X25519PrivateKey) -> Iterator[Entry]:
    """The entries of a register that this private key opens; torn lines are skipped. Raises OSError."""
    opened: AESGCM | None = None
    with path.open("rb") as file:
        for line in file:
            match line.split():
                case [b"K", public]:
                    opened = _opened(public, private, path.name)
                case [b"P", number, pseudonym, sealed] if opened is not None:
                    value = _value(opened, number, pseudonym, sealed)
                    if value is not None:
                        yield Entry(path.name.removesuffix(SUFFIX), pseudonym.decode(), value)


def _opened(public: bytes, private: X25519PrivateKey, name: str) -> AESGCM | None:
    try:
        key = X25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
        return AESGCM(_line_key(private.exchange(key), name))
    except ValueError:
        return None


def _value(opened: AESGCM, number: bytes, pseudonym: bytes, sealed: bytes) -> str | None:
    try:
        nonce = int(number).to_bytes(_NONCE_BYTES, "big")
        return opened.decrypt(nonce, base64.b64decode(sealed, validate=True), pseudonym).decode(
            "utf-8", "surrogatepass"
        )
    except (ValueError, OverflowError, InvalidTag):
        return None


def _line_key(shared: bytes, name: str) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"schoolwacht register " + name.encode()).derive(shared)


def _pseudonyms(path: Path) -> Iterator[str]:
    """The pseudonyms that a file has already; nothing if it cannot be read."""
    try:
        with path.open("rb") as file:
            for line in file:
                parts = line.split()
                if len(parts) == 4 and parts[0] == b"P":
                    yield parts[2].decode(errors="replace")
    except OSError:
        return


def _short(pseudonym: str) -> int:
    return int.from_bytes(blake2b(pseudonym.encode(), digest_size=8).digest(), "big")
