"""Where values are kept: in a fixed number of buckets of a few values each, records of the store. Pure.

Which bucket a value is in follows from its hash, so one ``get`` answers for it. Promise: bounded, whatever is seen:
:data:`BUCKETS` × :data:`WAYS` values (4 million). In a full bucket the value that was seen longest ago gives way. With
two million values, half of that, fewer than one in ten thousand buckets overflow.
"""

from __future__ import annotations

import hashlib

import msgspec

from schoolwacht_collector.prevalence.known import Known, Value

BUCKETS = 1 << 18
WAYS = 16

_decoder = msgspec.json.Decoder(list[Known])
_encoder = msgspec.json.Encoder()


def bucket_of(kind: str, value: str) -> str:
    """The id of the bucket that a value is in."""
    digest = hashlib.blake2b(f"{kind}\0{value}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return f"{int.from_bytes(digest, 'big') % BUCKETS:05x}"


class Bucket:
    """The values of one bucket."""

    __slots__ = ("id", "values")

    def __init__(self, id: str, text: str | None = None) -> None:  # noqa: A002 - the field's name everywhere
        self.id = id
        self.values: dict[tuple[str, str], Value] = {}
        for known in _decoder.decode(text) if text else ():
            self.values[known.kind, known.value] = Value(known)

    def put(self, value: Value) -> int:
        """Take a value in; how many others had to go."""
        self.values[value.known.kind, value.known.value] = value
        if len(self.values) <= WAYS:
            return 0
        del self.values[min(self.values, key=lambda key: self.values[key].known.last)]
        return 1

    def text(self) -> str:
        """All of it as JSON."""
        return _encoder.encode([value.packed() for value in self.values.values()]).decode()
