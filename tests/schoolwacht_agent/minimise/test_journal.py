from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schoolwacht.derive import derive
from schoolwacht.errors import SpoolError
from schoolwacht.event import Dataset, Event
from schoolwacht_agent.minimise.journal import Journal, Position, recover, split
from schoolwacht_agent.minimise.settings import Level
from schoolwacht_agent.minimise.step import Minimise
from tests.schoolwacht_agent.minimise.made import event, flow, step

CLIENTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
SEEN = st.one_of(
    st.builds(flow, st.floats(0, 400), source_ip=CLIENTS, source_bytes=st.integers(0, 1 << 40)),
    st.builds(
        event, st.just(Dataset.HTTP), st.floats(0, 400), source_ip=CLIENTS, network_protocol=st.just("http"),
        url_domain=st.sampled_from(["www.example.nl", "example.org"]),
        user_agent_original=st.sampled_from(["curl/8", "wget/1"]),
    ),
)  # fmt: skip
#: Lists of events; after each: whether a group is kept, and whether the process is then killed.
LIVES = st.lists(st.tuples(st.lists(SEEN, max_size=6), st.booleans(), st.booleans()), max_size=14)


def figures(events: list[Event]) -> Counter[str]:
    """What sums and sightings add up to."""
    found: Counter[str] = Counter()
    for one in events:
        derive(one)
        if one.event_dataset is Dataset.SUMMARY:
            found["events"] += one.summary_events or 0
            found["flows"] += one.summary_flows or 0
            found["bytes"] += one.source_bytes or 0
        elif one.event_dataset is Dataset.SIGHTING:
            found[f"sighted {one.sighting_kind}"] += one.sighting_count or 0
    return +found


class Life:
    """An agent that is killed and goes on; ``kept`` is what its spool holds, ``mark`` its last mark."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kept: list[Event] = []
        self.mark = b""
        self.start()

    def start(self) -> None:
        self.minimise = step(Level.SUMMARY)
        position, _ = split(self.mark)
        found = recover(self.directory, position)
        assert (found.missing_events, found.missing_counts) == (0, 0)
        self.minimise.restore(found.sums, found.sightings)
        self.journal = Journal(self.directory, self.minimise, least_bytes=300)
        self.group: list[Event] = []

    def keep(self) -> None:
        entry, mark = self.journal.next(b"source")
        self.journal.write(entry)
        self.kept += self.group
        self.mark, self.group = mark, []
        self.journal.settle()


@given(LIVES)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whoever_is_killed_at_any_moment_loses_nothing_and_counts_nothing_twice(
    tmp_path_factory: pytest.TempPathFactory, lives: list[tuple[list[Event], bool, bool]]
) -> None:
    life, straight = Life(tmp_path_factory.mktemp("counts")), step(Level.SUMMARY)
    expected: list[Event] = []
    for events, is_kept, is_killed in lives:
        # What was read since the last group is read again after a kill: here only what a group covers is counted.
        if is_kept:
            expected += straight.through([flow_or(one) for one in events])
            life.group += life.minimise.through([flow_or(one) for one in events])
            life.keep()
        else:
            life.minimise.through([flow_or(one) for one in events])
            life.journal.write(life.journal.next(b"never kept")[0])
            life.journal.close()
            life.start()
            continue
        if is_killed:
            life.journal.close()
            life.start()
    assert figures(life.kept + life.minimise.finish()) == figures(expected + straight.finish())
    life.journal.close()


def flow_or(one: Event) -> Event:
    """A copy: the step changes events in place."""
    return type(one)(**{name: getattr(one, name) for name in one.__struct_fields__})


def counting(*seconds: float) -> Minimise:
    made = step(Level.SUMMARY)
    made.through([flow(second) for second in seconds])
    return made


def test_a_mark_without_a_journal_is_the_sources() -> None:
    assert split(b'{"inode":3}') == (None, b'{"inode":3}')


def test_a_mark_gives_back_position_and_source(tmp_path: Path) -> None:
    journal = Journal(tmp_path, counting(1, 2))
    entry, mark = journal.next(b"here")
    assert split(mark) == (Position(entry.identity, 0, 2, 2), b"here")


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_what_a_damaged_journal_loses_is_counted(tmp_path: Path, harm: str) -> None:
    journal = Journal(tmp_path, counting(1, 2, 3))
    entry, mark = journal.next(b"")
    journal.write(entry)
    journal.close()
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    if harm == "remove":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if harm == "cut" else data[:20] + bytes([data[20] ^ 1]) + data[21:])
    assert recover(tmp_path, split(mark)[0]) == ([], [], 3, 3)


def test_a_record_that_the_disk_refused_is_written_anew(tmp_path: Path) -> None:
    place = tmp_path / "counts"
    place.write_text("in the way")
    made = counting(1)
    journal = Journal(place, made)
    entry, mark = journal.next(b"")
    with pytest.raises(SpoolError, match="cannot be written"):
        journal.write(entry)
    place.unlink()
    journal.write(entry)
    made.through([flow(4)])
    second, later = journal.next(b"")
    journal.write(second)
    assert [recover(place, split(each)[0]).sums[0][1][0] for each in (mark, later)] == [1, 2]
    journal.close()


def test_a_file_that_has_grown_is_followed_by_another(tmp_path: Path) -> None:
    made = counting(1)
    journal = Journal(tmp_path, made, least_bytes=1)
    names = set()
    for second in range(2, 40):
        entry, mark = journal.next(b"")
        journal.write(entry)
        journal.settle()
        names.add(entry.identity)
        assert len(list(tmp_path.iterdir())) <= 2
        assert recover(tmp_path, split(mark)[0]).missing_events == 0
        made.through([flow(second)])
    assert len(names) > 2
    journal.close()


def test_the_journal_is_for_the_agent_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "counts", counting(1))
    journal.write(journal.next(b"")[0])
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "counts").iterdir()] == [0o600]
    journal.close()
