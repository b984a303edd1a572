"""The command ``schoolwacht-agent indicators``: load a file, confirm a set that was refused, say what is in use."""

from __future__ import annotations

from pathlib import Path

from schoolwacht.errors import IndicatorError
from schoolwacht.indicators import BYTES_MAX, IndicatorLines, read_lines, read_set, unpack_set
from schoolwacht.match import IndicatorSet, in_memory
from schoolwacht_agent.indicators.keep import checked_ago, confirm, current, put, refused_of
from schoolwacht_agent.indicators.table import open_table

_ZSTD = b"\x28\xb5\x2f\xfd"


def read_file(path: Path) -> IndicatorLines:
    """A set from a file: text as :mod:`schoolwacht.indicators` says, or the frame that a collector sends.

    Raises IndicatorError that names the file and the line.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise IndicatorError(f"cannot be read: {error.strerror}", path=str(path)) from error
    if raw.startswith(_ZSTD):
        try:
            raw = unpack_set(raw)
        except IndicatorError as error:
            raise IndicatorError(error.message, path=str(path)) from error
    return read_set(raw, path=str(path))


def set_of(path: Path) -> IndicatorSet:
    """The indicators of a file, to match captures of any age with. Raises IndicatorError."""
    return IndicatorSet(in_memory(read_lines(read_file(path).lines)))


def load(state: Path, path: Path, *, confirmed: bool) -> str:
    """Put the set of a file in use. Returns what happened. Raises IndicatorError."""
    found = read_file(path)
    changed = put(state, found, confirmed=confirmed)
    return f"{len(found.lines):,} indicators are in use" + ("" if changed else ", as before")


def accept(state: Path) -> str:
    """Put the set in use that was refused for its size. Raises IndicatorError if there is none."""
    return f"{confirm(state).number:,} indicators are in use"


def describe(state: Path) -> dict[str, object]:
    """What is in use and what waits, by name."""
    used = current(state)
    found: dict[str, object] = {"number": 0, "version": ""}
    if used is not None:
        found = {"number": used.number, "version": used.version}
    if (ago := checked_ago(state)) is not None:
        found["checked_seconds_ago"] = round(ago)
    try:
        waiting = open_table(refused_of(state))
    except IndicatorError:
        return found
    return found | {"refused": waiting.number}
