"""What is usual at this hour: figures by hour of the week and kind of day, over eight weeks, kept over restarts.

A *series* is one figure of one thing: the uploads of a host, the changes of a user on a share, the packets of the
school. For each hour of a kind of day (:class:`~.calendar.Day`) it keeps the highest figure of each of the last
40 days. The usual figure is the median of the same hour on the same day of the week; while fewer than three weeks are
known, of the same hour on days of the same kind; below three days it is not known. Today never counts.

What a series is of (an address, a user) is kept as a hash under a key of the agent's own, which lies beside the file
(``baselines.key``, mode 600): whoever has the file alone, from a backup say, can try out no address. It is not the
board's key, of which the past is forgotten every period: what is usual takes eight weeks. Whoever has both can.

Memory (measured): 1 kB for each hour of a kind of day that was active on 40 days, so 90 kB for a thing that is active
at all hours and 2 kB for an ordinary one; ``limit`` things, of which those used longest ago are forgotten and counted.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import zlib
from array import array
from contextlib import suppress
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

from schoolwacht_agent.behave.calendar import Calendar, Day, Moment
from schoolwacht_agent.behave.state import Recent

log = logging.getLogger(__name__)

#: Days that an hour remembers, and days below which nothing is usual.
DAYS, LEAST_DAYS = 40, 3
LIMIT = 2048
#: A file larger than this was not written by us.
MOST_BYTES = 64 << 20
_MAGIC, _UNKEYED = b"SWK2", b"SWB1"
_KEY_BYTES = 32
_KINDS = {kind: number for number, kind in enumerate(Day)}
_OBSERVED = b""


class Series:
    """One figure by hour: for each slot (kind of day, hour) pairs of day number and figure, oldest first."""

    __slots__ = ("slots",)

    def __init__(self) -> None:
        self.slots: dict[int, array[float]] = {}

    def note(self, moment: Moment, value: float) -> None:
        """The figure of this hour, if it is the highest of this hour so far."""
        values = self.slots.setdefault(_slot(moment), array("d"))
        if values and values[-2] == moment.number:
            values[-1] = max(values[-1], value)
        elif not values or values[-2] < moment.number:
            values.extend((moment.number, value))
            del values[: max(0, len(values) - 2 * DAYS)]

    def before(self, moment: Moment) -> dict[int, float]:
        """Figures of this hour on earlier days of the same kind, by day number."""
        values = self.slots.get(_slot(moment))
        if values is None:
            return {}
        return {int(day): value for day, value in zip(values[::2], values[1::2], strict=True) if day < moment.number}


class Baselines:
    """The series of all detectors.

    Args:
        calendar: of the school.
        limit: how many series are kept.
    """

    def __init__(self, calendar: Calendar, limit: int = LIMIT) -> None:
        self.calendar = calendar
        #: Under which what a series is of is hashed; set before the first figure.
        self.key = secrets.token_bytes(_KEY_BYTES)
        self.series: Recent[bytes, Series] = Recent(limit, Series)
        #: On which days an hour was watched at all: what a thing did not do then counts as nothing.
        self._observed = Series()
        self._hour = -1

    def watch(self, at: float) -> None:
        """Say that this hour is watched. Cheap for the same hour again."""
        hour = int(at) // 3600
        if hour != self._hour:
            self._hour = hour
            self._observed.note(self.calendar.moment(at), 1.0)

    def most(self, detector: str, thing: str, at: float, value: float, least: float = 0.0) -> float | None:
        """Take in a figure of the current hour, and what is usual at this hour on the days it was active.

        Args:
            detector: whose figure.
            thing: of what.
            at: when, seconds since 1970.
            value: the figure so far this hour.
            least: a figure below it is not kept.
        """
        moment, key = self.calendar.moment(at), self._hashed(detector, thing)
        if value < least and not self.series.known(key):
            return None
        series = self.series.of(key)
        if value >= least:
            series.note(moment, value)
        return usual(series.before(moment), moment)

    def usual_with_quiet_days(self, detector: str, thing: str, at: float) -> float | None:
        """What is usual at this hour, with nothing for days that were watched but on which the thing was quiet."""
        moment, key = self.calendar.moment(at), self._hashed(detector, thing)
        values = dict.fromkeys(self._observed.before(moment), 0.0)
        if self.series.known(key):
            values |= self.series.of(key).before(moment)
        return usual(values, moment)

    def _hashed(self, detector: str, thing: str) -> bytes:
        text = f"{detector}\0{thing}".encode("utf-8", "backslashreplace")
        return hashlib.blake2b(text, key=self.key, digest_size=12).digest()

    def forget_after(self, at: float) -> None:
        """Drop what was noted of days after a moment: the clock that dated them was wrong."""
        today = self.calendar.moment(at).number
        for series in (self._observed, *(one for _, one in self.series.items())):
            for values in series.slots.values():
                while values and values[-2] > today:
                    del values[-2:]

    @property
    def evicted(self) -> int:
        """Series that were forgotten for want of room."""
        return self.series.evicted

    def __len__(self) -> int:
        return len(self.series)

    def dump(self) -> bytes:
        """All series as bytes."""
        series = {key: _plain(one) for key, one in self.series.items()}
        body = msgspec.msgpack.encode(_File(_plain(self._observed), series, _mark_of(self.key)))
        return _MAGIC + zlib.crc32(body).to_bytes(4, "big") + body

    def load(self, data: bytes) -> None:
        """Take in what :meth:`dump` gave. Raises ValueError, and takes in nothing, if it is damaged."""
        if len(data) > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES >> 20} MiB")
        if data.startswith(_UNKEYED):
            raise ValueError("it is of an earlier version, whose hashes had no key")
        body = data[8:]
        if data[:4] != _MAGIC or zlib.crc32(body).to_bytes(4, "big") != data[4:8]:
            raise ValueError("it is damaged")
        try:
            file = msgspec.msgpack.decode(body, type=_File)
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from error
        if file.key != _mark_of(self.key):
            raise ValueError("it was made with another key")
        _fill(self._observed, file.observed)
        for key, slots in list(file.series.items())[-self.series.limit :]:
            _fill(self.series.of(key), slots)


class _File(Struct, forbid_unknown_fields=True):
    observed: dict[int, list[float]]
    series: dict[bytes, dict[int, list[float]]]
    #: By what the key is known again.
    key: bytes


class Keeper:
    """Keeps baselines in a file: read at the start, written each hour of traffic and at the end.

    The file is replaced whole. One that is damaged, or of another key or version, is put aside under ``.damaged``, said
    in the log, and begun again; a disk that refuses costs the kept figures, never the capture.

    Args:
        baselines: what to keep.
        path: the file; its directory is made.
    """

    def __init__(self, baselines: Baselines, path: Path) -> None:
        self._baselines = baselines
        self._path = path
        self._hour = -1
        #: Why nothing is kept at the moment, in plain words; empty if all is well.
        self.fault = ""
        baselines.key = self._key()
        self._read()

    def pass_time(self, at: float) -> None:
        """Write if an hour of traffic has passed since the last time, or the clock has gone back by hours."""
        hour = int(at) // 3600
        if self._hour < 0:
            self._hour = hour
        elif hour > self._hour or hour < self._hour - 2:
            self._hour = hour
            self.save()

    def save(self) -> None:
        """Write now."""
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                file.write(self._baselines.dump())
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            self._say(f"{self._path}: the baselines could not be kept: {error.strerror or error}")
        else:
            self.fault = ""

    def _key(self) -> bytes:
        """The key beside the file; made if there is none. Without a disk one that is forgotten at the end."""
        path = self._path.with_suffix(".key")
        with suppress(OSError):
            key = path.read_bytes()
            if len(key) == _KEY_BYTES:
                return key
        key, new = secrets.token_bytes(_KEY_BYTES), path.with_suffix(".new-key")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError as error:
            self._say(f"{path}: the key of the baselines cannot be written: {error.strerror or error}")
        return key

    def _read(self) -> None:
        try:
            with self._path.open("rb") as file:
                self._baselines.load(file.read(MOST_BYTES + 1))
        except FileNotFoundError:
            return
        except OSError as error:
            self._say(f"{self._path}: the baselines could not be read and begin anew: {error.strerror or error}")
        except ValueError as error:
            self._say(f"{self._path}: the baselines begin anew: {error}; the old file is kept as .damaged")
            try:
                self._path.replace(self._path.with_suffix(".damaged"))
            except OSError as refused:
                log.warning("%s: could not be put aside: %s", self._path, refused.strerror or refused)

    def _say(self, fault: str) -> None:
        if fault != self.fault:
            log.warning("%s", fault)
        self.fault = fault


def usual(values: dict[int, float], moment: Moment) -> float | None:
    """The median of figures by day: of the same day of the week if three are known, else of all if three are."""
    same = [value for day, value in values.items() if (moment.number - day) % 7 == 0]
    if len(same) >= LEAST_DAYS:
        return median(same)
    return median(values.values()) if len(values) >= LEAST_DAYS else None


def _slot(moment: Moment) -> int:
    return _KINDS[moment.day] * 24 + moment.hour


def _mark_of(key: bytes) -> bytes:
    return hashlib.blake2b(b"baselines", key=key, digest_size=8).digest()


def _plain(series: Series) -> dict[int, list[float]]:
    return {slot: values.tolist() for slot, values in series.slots.items()}


def _fill(series: Series, slots: dict[int, list[float]]) -> None:
    series.slots = {
        slot: array("d", values[-2 * DAYS :])
        for slot, values in slots.items()
        if 0 <= slot < 96 and len(values) % 2 == 0
    }
