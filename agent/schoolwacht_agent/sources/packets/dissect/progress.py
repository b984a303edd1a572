"""The third answer of a dissector of streams: neither a message nor a refusal, but "not all of it is here yet"."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal


class Progress(Enum):
    """What a dissector says of a stream whose bytes so far fit the protocol without completing a message."""

    MORE = "more"


#: The one value of :class:`Progress`; compare with ``is``.
MORE: Final = Progress.MORE
More = Literal[Progress.MORE]
