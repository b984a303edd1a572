"""First seen and prevalence: counting, in whatever order and however often; bounds; and what boards may see."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.prevalence import buckets, sketch
from schoolwacht_collector.prevalence.ask import DOMAIN, JA4, JA4_CIPHERS, ask, ask_all, for_boards
from schoolwacht_collector.prevalence.buckets import Bucket
from schoolwacht_collector.prevalence.count import Counter, ciphers_of
from schoolwacht_collector.prevalence.known import Arrival, begun
from tests.schoolwacht_collector.correlate.made import document
from tests.schoolwacht_collector.made import NOW, Clock


def _sighting(
    number: int, *, value: str = "evil.example", kind: str = DOMAIN, school: int = 0, hours: float = 0.0
) -> Event:
    fields = {"sighting.kind": kind, "sighting.value": value, "sighting.count": 1}
    at = NOW - timedelta(hours=hours)
    return document(
        f"{number:05}", fields, at=at, arrived=NOW, school=school, board=school % 3, dataset=Dataset.SIGHTING
    )


async def _counted(*events: Event) -> MemoryStore:
    store = MemoryStore()
    await store.create(events)
    await Counter(store, clock=Clock()).look()
    return store


async def test_a_value_is_known_with_first_last_schools_and_boards() -> None:
    store = await _counted(
        *(_sighting(number, school=number, hours=number) for number in range(7)), _sighting(9, school=3)
    )
    found = await ask(store, DOMAIN, "www.Evil.example.")
    assert found is not None
    assert (found.first, found.last) == (NOW - timedelta(hours=6), NOW)
    assert (found.schools, found.boards) == (7, 3)
    assert found.early[0].school == "06AB00"
    assert await ask(store, DOMAIN, "good.example") is None
    assert [answer.kind for answer in await ask_all(store, "evil.example")] == [DOMAIN]


async def test_counting_again_changes_nothing() -> None:
    store = await _counted(*(_sighting(number, school=number) for number in range(5)))
    before = await ask(store, DOMAIN, "evil.example")
    await Counter(store, clock=Clock()).look()
    assert await ask(store, DOMAIN, "evil.example") == before


async def test_a_value_of_each_day_has_its_own_numbers() -> None:
    store = await _counted(
        *(_sighting(number, school=number, hours=24) for number in range(4)),
        *(_sighting(10 + number, school=number) for number in range(2)),
    )
    found = await ask(store, DOMAIN, "evil.example")
    assert found is not None
    assert [(day.day, day.schools) for day in found.days] == [("2026-11-23", 4), ("2026-11-24", 2)]


async def test_after_a_month_without_it_a_value_is_new_again() -> None:
    store = await _counted(_sighting(1, hours=24 * 40), _sighting(2, school=1))
    found = await ask(store, DOMAIN, "evil.example")
    assert found is not None
    assert found.first == NOW - timedelta(days=40)
    assert found.since == NOW
    assert [arrival.school for arrival in found.early] == ["01AB00"]


async def test_the_ciphers_of_a_fingerprint_are_counted_too() -> None:
    ja4 = "t13d1516h2_8daaf6152771_02713d6af862"
    store = await _counted(_sighting(1, kind=JA4, value=ja4))
    assert await ask(store, JA4_CIPHERS, "t13d15_8daaf6152771") is not None
    assert ciphers_of("no fingerprint") is None


async def test_a_board_sees_no_school_and_no_number_below_five() -> None:
    few = await ask(await _counted(*(_sighting(number, school=number) for number in range(4))), DOMAIN, "evil.example")
    many = await ask(await _counted(*(_sighting(number, school=number) for number in range(6))), DOMAIN, "evil.example")
    assert few is not None
    assert many is not None
    assert (for_boards(few).schools, for_boards(few).early, for_boards(few).days) == (None, (), ())
    assert for_boards(many).schools == 6


@given(
    seen=st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 9)), min_size=1, max_size=30),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_the_order_in_which_sightings_come_does_not_matter(seen: list[tuple[int, int]], order: object) -> None:
    """Within a month, and on one day, in which no run and no day ends."""

    def result(sightings: list[tuple[int, int]]) -> object:
        first = NOW + timedelta(seconds=sightings[0][0])
        value = begun(DOMAIN, "evil.example", first, first)
        for second, school in sightings:
            at = NOW + timedelta(seconds=second)
            value.see(at, at, Arrival(at.timestamp(), str(school), str(school % 2), "agent"))
        return value.known.first, value.known.last, sorted(value.known.early), value.school_count, value.board_count

    shuffled = list(seen)
    order.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis gives a random.Random
    assert result(seen) == result(shuffled)


@pytest.mark.parametrize("number", [0, 1, 5, 100, 1_000, 10_000])
def test_a_sketch_is_right_within_two_in_a_hundred(number: int) -> None:
    held = 0
    for each in range(number):
        held |= sketch.bit_of(f"school {each}", sketch.SCHOOL_BITS)
    assert abs(sketch.number(held, sketch.SCHOOL_BITS) - number) <= max(1 if number > 5 else 0, number // 50)
    assert sketch.unpack(sketch.pack(held)) == held


def test_a_full_bucket_lets_go_of_what_was_seen_longest_ago() -> None:
    bucket = Bucket("00000")
    gone = 0
    for number in range(buckets.WAYS + 3):
        at = NOW + timedelta(seconds=number)
        gone += bucket.put(begun(DOMAIN, f"{number}.example", at, at))
    assert gone == 3
    assert (DOMAIN, "2.example") not in bucket.values
    again = Bucket("00000", bucket.text())
    assert set(again.values) == set(bucket.values)
