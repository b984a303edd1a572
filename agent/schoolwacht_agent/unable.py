"""What keeps a part of the agent from working at all: said plainly, for as long as it lasts, while it is tried again.

An agent stands unattended: an interface may appear, a right be given, a file be mended. So a part that cannot work is
started again and again, at last once a minute, and what is wrong stands in ``STATE/status/<part>.unable``, from where
``status`` and the health event ``unable`` have it. The file goes when the part has ended in good order.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from schoolwacht.errors import SchoolwachtError

#: The first failure may pass by itself (a machine that starts, a cable): from the second on it is told.
TOLD_FROM = 2
LONGEST_WAIT = 60.0
#: Failures that lie further apart, in seconds, are not one.
_APART = 5 * LONGEST_WAIT
REMEDY = "`schoolwacht-agent doctor` says what to do; it is tried again at least once a minute"


class Unable(msgspec.Struct, frozen=True):
    """Why a part does not work, since when (seconds since 1970), how often it was tried, and when it was told last."""

    text: str
    since: float
    last: float
    times: int
    told: float = 0.0

    @property
    def wait(self) -> float:
        """Seconds until the next attempt."""
        return min(LONGEST_WAIT, 2.0 ** min(self.times - 1, 10))

    def is_due(self, period: float) -> bool:
        """Whether it is to be told again: from the second failure on, at most once a period."""
        return self.times >= TOLD_FROM and self.last - self.told >= period

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        return f"cannot work since {since} ({self.times} attempts): {self.text}"


def note(state: Path, part: str, error: SchoolwachtError, *, now: float | None = None) -> Unable:
    """A part has ended by an error. Never raises: a disk that refuses only forgets how often."""
    now = time.time() if now is None else now
    before = read(state, part)
    if before is None or not 0 <= now - before.last <= _APART:
        found = Unable(str(error), now, now, 1)
    else:
        found = Unable(str(error), before.since, now, before.times + 1, before.told)
    _write(state, part, found)
    return found


def told(state: Path, part: str, unable: Unable) -> None:
    """It was told at its last failure."""
    _write(state, part, msgspec.structs.replace(unable, told=unable.last))


def clear(state: Path, part: str) -> None:
    """The part works."""
    with suppress(OSError):
        _path(state, part).unlink(missing_ok=True)


def read(state: Path, part: str) -> Unable | None:
    """What is known; None if nothing is wrong."""
    try:
        return msgspec.json.decode(_path(state, part).read_bytes(), type=Unable)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(state: Path, part: str, unable: Unable) -> None:
    path = _path(state, part)
    new = path.with_suffix(".unable-new")
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.write_bytes(msgspec.json.encode(unable))
        new.replace(path)


def _path(state: Path, part: str) -> Path:
    return state / "status" / f"{part}.unable"
