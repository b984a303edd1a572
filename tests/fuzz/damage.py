"""Damage to samples, as networks and attackers do it: bytes changed, lengths wrong, parts cut, doubled and joined."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

#: Values that lengths, counts and types go wrong at.
EDGES = (0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)
WIDE = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damaged(samples: Sequence[bytes], rng: random.Random, *, size: int = 1 << 16) -> Iterator[bytes]:
    """Endless; one in a hundred is noise, one in a hundred the sample itself."""
    while True:
        data = bytearray(rng.choice(samples)[:size])
        sort = rng.randrange(100)
        if sort == 0:
            yield rng.randbytes(rng.randrange(512))
            continue
        if sort > 1:
            for _ in range(rng.choice((1, 1, 1, 2, 3, 6, 12))):
                _hurt(data, samples, rng)
        yield bytes(data[: 2 * size])


def _hurt(data: bytearray, samples: Sequence[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(data)) if data else 0
    match rng.randrange(9):
        case 0 if data:
            data[at] = rng.choice(EDGES)
        case 1 if data:
            data[at] ^= 1 << rng.randrange(8)
        case 2:
            del data[at : at + rng.choice((1, 2, 4, 16, 256))]
        case 3:
            data[at:at] = data[at : at + rng.choice((1, 4, 64, 1024))]
        case 4:
            del data[at:]
        case 5:
            data[at:] = rng.choice(samples)[at : at + 4096]
        case 6:
            width = rng.choice((2, 4))
            order = rng.choice(("big", "little"))
            data[at : at + width] = (rng.choice(WIDE) & ((1 << 8 * width) - 1)).to_bytes(width, order)  # type: ignore[arg-type]
        case 7:
            data[at : at + rng.choice((1, 8, 64))] = bytes([rng.choice(EDGES)]) * rng.choice((1, 8, 64))
        case _:
            other = rng.choice(samples)
            start = rng.randrange(len(other)) if other else 0
            data[at:at] = other[start : start + rng.choice((4, 32, 256))]
