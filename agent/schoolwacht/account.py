"""What an agent says of its own book-keeping: running totals of one spool, in a health event.

Totals only grow within one epoch of a spool, so a report that is lost, repeated or late changes nothing: whoever reads
them takes the furthest. They are absolute since the spool was made; ``base`` is where they stood when its present epoch
began, and what they were for a copy that was put back.

It travels as one value of ``nsm.detail`` (:data:`DETAIL`), JSON. Limits: counts are at most 2⁴⁸; a report is
below 2 KiB.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from schoolwacht.errors import WireError

#: The key in ``nsm.detail`` of the health event that carries it.
DETAIL = "ledger"

#: Far more than a spool ever holds, and so far below what stores hold that sums of forged ones stay within it.
_Figure = Annotated[int, Meta(ge=0, le=1 << 48)]
_Pair = tuple[_Figure, _Figure]
_Epoch = Annotated[str, Meta(pattern="^[0-9a-f]{0,16}$", max_length=16)]
_Run = Annotated[str, Meta(min_length=1, max_length=40)]


class Totals(Struct, frozen=True, omit_defaults=True):
    """Totals of a spool since it was made. Pairs are signals (with health) and other events.

    ``kept`` were written to the spool; each of them is ``waiting``, ``sent`` (a collector has it), ``rejected`` (set
    aside, no collector takes it), or lost: ``expired``, ``evicted``, ``corrupt``. ``unfit`` were too large or could not
    be encoded, and were never kept.
    """

    kept: _Pair = (0, 0)
    waiting: _Pair = (0, 0)
    sent: _Figure = 0
    rejected: _Figure = 0
    expired: _Figure = 0
    evicted: _Figure = 0
    corrupt: _Figure = 0
    unfit: _Figure = 0

    @property
    def lost(self) -> int:
        """Kept events that are gone."""
        return self.expired + self.evicted + self.corrupt

    @property
    def progress(self) -> int:
        """Grows with everything that happens: of two reports of an epoch the later one has the greater."""
        return sum(self.kept) + self.sent + self.rejected + self.lost + self.unfit


class Account(Struct, frozen=True, omit_defaults=True):
    """One report. ``parent`` is the epoch of the spool that this one is a copy of.

    ``shed`` is what was not kept because the agent could not keep up, by run of the capture (its start, ISO 8601).
    """

    epoch: _Epoch
    now: Totals
    base: Totals = Totals()
    parent: _Epoch = ""
    shed: Annotated[dict[_Run, _Figure], Meta(max_length=4)] = {}


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Account)


def encode_account(account: Account) -> str:
    """The report as text."""
    return _encoder.encode(account).decode()


def decode_account(text: str) -> Account:
    """The report in ``text``. Raises WireError."""
    try:
        account = _decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(f"no account of a spool: {error}", field=f"nsm.detail.{DETAIL}") from error
    if not account.epoch:
        raise WireError("no account of a spool: it names no epoch", field=f"nsm.detail.{DETAIL}")
    return account
