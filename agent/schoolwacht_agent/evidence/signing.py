"""The agent's signature under a piece of evidence: Ed25519 (RFC 8032) over a statement that holds no personal data.

Anyone who has the public key can check it, without a secret and without the packets: the statement is made of what the
collector gets anyway (:func:`statement`). The private key is made when it is first needed and never leaves the state
directory; each event of evidence carries the public one, under the agent's authenticated connection.
"""

from __future__ import annotations

import base64
import os
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schoolwacht.errors import ConfigError

_HEADING = "schoolwacht evidence 1"


def statement(agent: str, id: str, taken: datetime, sha256: str) -> bytes:  # noqa: A002 - the field's name everywhere
    """What is signed: agent, evidence, moment (UTC, microseconds) and the SHA-256 of the capture file, a line each."""
    moment = taken.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"{_HEADING}\n{agent}\n{id}\n{moment}\n{sha256}\n".encode()


class Signer:
    """The key of one agent.

    Args:
        path: of the private key: 32 bytes, mode 600; made if it is not there.

    Raises ConfigError if what is there is no key or others can read it.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            _make(path)
        try:
            if path.stat().st_mode & 0o077:
                raise ConfigError(f"others can read it: chmod 600 {path}", path=str(path))
            self._key = Ed25519PrivateKey.from_private_bytes(path.read_bytes())
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", path=str(path)) from error
        except ValueError as error:
            raise ConfigError("is no key of 32 bytes; remove it to have a new one made", path=str(path)) from error
        self.public = base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, data: bytes) -> str:
        """The signature in base64."""
        return base64.b64encode(self._key.sign(data)).decode()


def verify(public: str, signature: str, data: bytes) -> bool:
    """Whether a signature is the key's."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
        key.verify(base64.b64decode(signature, validate=True), data)
    except (ValueError, InvalidSignature):
        return False
    return True


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    opened = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(opened, Ed25519PrivateKey.generate().private_bytes_raw())
        os.fsync(opened)
    finally:
        os.close(opened)
    new.replace(path)
