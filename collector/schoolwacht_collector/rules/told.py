"""Which signals of rules with ``once`` are in the store already, so that they are not sent to it again and again.

A printer that speaks SMBv1 does so ten thousand times a day; its one signal a day costs one write, not ten thousand
refused ones. Limits: the last :data:`MOST` ids of this process; what is forgotten is sent once more, and the store
answers that it has it.
"""

from __future__ import annotations

from collections import OrderedDict

MOST = 65_536


class Told:
    """Ids of stored signals, the last :data:`MOST` that were asked for."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, id: str) -> bool:  # noqa: A002 - the field's name everywhere
        if id not in self._ids:
            return False
        self._ids.move_to_end(id)
        return True

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, id: str) -> None:  # noqa: A002 - as above
        """Remember a signal that the store has."""
        self._ids[id] = None
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)


class Once:
    """Which such signals one batch makes: of each id the first, unless the store has it.

    Args:
        told: ids that the store has; None if that is not known.
    """

    def __init__(self, told: Told | None = None) -> None:
        self.made: set[str] = set()
        self._told = told

    def first(self, id: str) -> bool:  # noqa: A002 - as above
        """Whether the signal is to be made."""
        if id in self.made or (self._told is not None and id in self._told):
            return False
        self.made.add(id)
        return True
