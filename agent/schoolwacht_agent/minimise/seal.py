"""The board's private key, sealed so that any two of its officers open it together, and none alone.

A file of JSON: for every pair of officers the key is encrypted (AES-256-GCM) under a key made from both their
passphrases (scrypt each, RFC 7914, with a salt of its own; HKDF-SHA-256 over both). There are no shares to keep: who
leaves is replaced by making a new seal. The file itself is no secret, but whoever has it and one passphrase can try
the other: scrypt makes each try cost 128 MiB and half a second.

Limits: two to eight officers. A lost key cannot be had again; then pseudonyms made for it stay what they are.
"""

from __future__ import annotations

import base64
import itertools
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta, Struct

from schoolwacht.errors import UnmaskError

LEAST_OFFICERS, MOST_OFFICERS = 2, 8
LEAST_PASSPHRASE = 12
COST = 1 << 17

_Bytes = Annotated[bytes, Meta(max_length=256)]


class Officer(Struct, frozen=True, forbid_unknown_fields=True):
    """A person who may unmask together with another."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    salt: _Bytes


class Pair(Struct, frozen=True, forbid_unknown_fields=True):
    """The key as two officers (their places in the list) open it."""

    first: int
    second: int
    nonce: _Bytes
    sealed: _Bytes


class Seal(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the file says. ``register`` is the public key; ``cost`` the N of scrypt."""

    format: Literal["schoolwacht-board-seal-1"] = "schoolwacht-board-seal-1"
    register: _Bytes
    cost: Annotated[int, Meta(ge=2, le=1 << 20)]
    officers: Annotated[list[Officer], Meta(min_length=LEAST_OFFICERS, max_length=MOST_OFFICERS)]
    pairs: Annotated[list[Pair], Meta(max_length=MOST_OFFICERS * MOST_OFFICERS)]


def sealed(passphrases: Mapping[str, str], *, cost: int = COST) -> Seal:
    """A new private key, sealed for officers by name. Raises UnmaskError if people or passphrases will not do."""
    _check(passphrases)
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    officers = [Officer(name, secrets.token_bytes(16)) for name in passphrases]
    keys = [_stretched(passphrases[officer.name], officer.salt, cost) for officer in officers]
    pairs = []
    for first, second in itertools.combinations(range(len(officers)), 2):
        nonce = secrets.token_bytes(12)
        box = AESGCM(_joined(keys[first], keys[second]))
        pairs.append(Pair(first, second, nonce, box.encrypt(nonce, private.private_bytes_raw(), public)))
    return Seal(register=public, cost=cost, officers=officers, pairs=pairs)


def opened(seal: Seal, passphrases: Mapping[str, str]) -> X25519PrivateKey:
    """The private key, by the passphrases of two officers. Raises UnmaskError."""
    places = {officer.name: place for place, officer in enumerate(seal.officers)}
    if unknown := [name for name in passphrases if name not in places]:
        raise UnmaskError(f"{unknown[0]!r} is no officer of this seal; they are: {', '.join(places)}")
    if len(passphrases) != 2:
        raise UnmaskError("takes two officers, no more and no fewer")
    first, second = sorted(passphrases, key=lambda name: places[name])
    pair = next((one for one in seal.pairs if (one.first, one.second) == (places[first], places[second])), None)
    if pair is None:
        raise UnmaskError(f"this seal has nothing for {first} and {second} together")
    keys = [_stretched(passphrases[name], seal.officers[places[name]].salt, seal.cost) for name in (first, second)]
    try:
        raw = AESGCM(_joined(*keys)).decrypt(pair.nonce, pair.sealed, seal.register)
        return X25519PrivateKey.from_private_bytes(raw)
    except (InvalidTag, ValueError) as error:
        raise UnmaskError("one of the two passphrases is wrong") from error


def write(path: Path, seal: Seal) -> None:
    """Write a new file, mode 600. Raises FileExistsError, OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(seal)) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> Seal:
    """Read the file. Raises UnmaskError that names it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Seal)
    except OSError as error:
        raise UnmaskError(f"cannot be read: {error.strerror}", path=str(path)) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise UnmaskError(f"is no seal of a board: {error}", path=str(path)) from error


def audit_key(private: X25519PrivateKey) -> bytes:
    """The key of the audit's signatures: only who opens the seal can make or check them."""
    return HKDF(SHA256(), 32, salt=None, info=b"schoolwacht unmask audit").derive(private.private_bytes_raw())


def text_of(seal: Seal) -> str:
    """The public key as text, as it stands in the key file."""
    return base64.b64encode(seal.register).decode()


def _check(passphrases: Mapping[str, str]) -> None:
    if not LEAST_OFFICERS <= len(passphrases) <= MOST_OFFICERS:
        raise UnmaskError(f"takes {LEAST_OFFICERS} to {MOST_OFFICERS} officers")
    for name, passphrase in passphrases.items():
        if len(passphrase) < LEAST_PASSPHRASE:
            raise UnmaskError(f"the passphrase of {name} has fewer than {LEAST_PASSPHRASE} characters")
    if len(set(passphrases.values())) < len(passphrases):
        raise UnmaskError("two officers have the same passphrase: then one of them is enough")


def _stretched(passphrase: str, salt: bytes, cost: int) -> bytes:
    try:
        return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(passphrase.encode())
    except (ValueError, MemoryError) as error:
        raise UnmaskError(f"scrypt cannot run: {error}") from error


def _joined(first: bytes, second: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"schoolwacht seal of two").derive(first + second)
