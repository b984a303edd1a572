"""How many different things were seen, in a fixed number of bits, whatever the order and however often. Pure.

Linear counting: each thing sets one bit of ``m``, chosen by a hash; the share of bits that stayed zero says how many
there were. Union is a bitwise or, so counting again changes nothing. With 16,384 bits the standard error is below one
in a hundred for up to 10,000 things, and below one thing up to 100.

Source: Whang, Vander-Zanden, Taylor, "A linear-time probabilistic counting algorithm for database applications"
(1990).
"""

from __future__ import annotations

import hashlib
import zlib
from functools import lru_cache
from math import log

#: Bits for schools (10,000 of them) and for boards (1,300).
SCHOOL_BITS = 1 << 14
BOARD_BITS = 1 << 12


@lru_cache(maxsize=32_768)
def bit_of(text: str, bits: int) -> int:
    """The number with the one bit set that stands for ``text``."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return 1 << (int.from_bytes(digest, "big") % bits)


def number(held: int, bits: int) -> int:
    """How many different things were put into ``held``."""
    ones = held.bit_count()
    if ones >= bits:
        return bits
    return round(-bits * log(1.0 - ones / bits))


def pack(held: int) -> bytes:
    """As few bytes as it takes to keep it: few bits cost some tens of bytes."""
    return zlib.compress(held.to_bytes((held.bit_length() + 7) // 8, "little"), 6)


def unpack(data: bytes) -> int:
    """What :func:`pack` made. Raises zlib.error for anything else."""
    return int.from_bytes(zlib.decompress(data), "little")
