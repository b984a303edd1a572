"""What every store promises, on each of the three."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from schoolwacht.errors import Conflict, QueryError, StoreError
from schoolwacht.event import Dataset
from schoolwacht.indicators import IndicatorType
from schoolwacht.wire import Verdict
from schoolwacht_collector.index.port import SECTOR, Kind, Scope, Search, Store, Tally
from schoolwacht_collector.query.ast import All, And, Equals, Exists, Not, OneOf, Or
from schoolwacht_collector.records import Indicator, Lease
from tests.schoolwacht_collector.index.stores import NOON, event, fill, found, ids, settle


def own(board: str) -> Scope:
    return Scope(frozenset({board}))


def lease(name: str, holder: str) -> Lease:
    return Lease(id=name, timestamp=NOON, holder=holder, until=NOON + timedelta(minutes=1))


async def test_a_created_event_comes_back_as_it_was(store: Store, board: str) -> None:
    first = event(
        1,
        board,
        timestamp=NOON.replace(microsecond=123456),
        message='quotes " and \\ and \n and é 漢 \U0001f600',
        source_ip="2001:db8::1",
        related_ip=["10.0.0.1", "2001:db8::1"],
        source_bytes=(1 << 63) - 1,
        tls_resumed=False,
        health_value=0.5,
        tls_server_not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        nsm_detail={"ttl": "64", "a.b": "c"},
    )
    await fill(store, [first])

    (row,) = await found(store, scope=own(board))

    assert row == msgspec.to_builtins(first)


async def test_a_second_create_of_an_id_is_delivered_and_changes_nothing(store: Store, board: str) -> None:
    await fill(store, [event(1, board, message="first")])

    again = await store.create([event(1, board, message="second"), event(2, board)])
    await settle(store)

    assert [(one.verdict, one.created) for one in again] == [(Verdict.DELIVERED, False), (Verdict.DELIVERED, True)]
    assert [row.get("message") for row in await found(store, scope=own(board))] == [None, "first"]


async def test_an_id_twice_in_one_call_is_created_once(store: Store, board: str) -> None:
    outcomes = await store.create([event(1, board), event(2, board), event(1, board)])

    assert [outcome.created for outcome in outcomes] == [True, True, False]
    assert {outcome.verdict for outcome in outcomes} == {Verdict.DELIVERED}


async def test_redelivery_across_midnight_meets_the_same_index(store: Store, board: str) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    batch = [event(number, board, timestamp=midnight + timedelta(seconds=number - 2)) for number in range(4)]
    for _ in range(3):
        await fill(store, batch)

    assert ids(await found(store, scope=own(board))) == [f"{board}-{number:05}" for number in (3, 2, 1, 0)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"event_id": None}, "event.id is missing"),
        ({"timestamp": datetime(1969, 12, 31, tzinfo=UTC)}, "outside 1970 to 2261"),
        ({"timestamp": datetime(2026, 1, 1)}, "no time zone"),
        ({"event_start": datetime(3000, 1, 1, tzinfo=UTC)}, "outside 1970 to 2261"),
        ({"message": "\ud800"}, "cannot be written as JSON"),
    ],
    ids=["no id", "too early", "naive", "start too late", "lone surrogate"],
)
async def test_a_document_that_cannot_be_kept_is_rejected_alone(
    store: Store, board: str, fields: dict[str, object], reason: str
) -> None:
    outcomes = await store.create([event(1, board), event(2, board, **fields), event(3, board)])

    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELIVERED, Verdict.REJECTED, Verdict.DELIVERED]
    assert reason in (outcomes[1].reason or "")


async def test_no_events_have_no_outcomes(store: Store) -> None:
    assert await store.create([]) == []


async def test_a_time_with_an_offset_is_kept_in_utc(store: Store, board: str) -> None:
    await fill(store, [event(1, board, timestamp=NOON.astimezone(timezone(timedelta(hours=2))))])

    assert [row["@timestamp"] for row in await found(store, scope=own(board))] == ["2026-03-01T12:00:00Z"]


async def test_a_zero_character_is_kept_as_its_escape(store: Store, board: str) -> None:
    await fill(store, [event(1, board, message="a\0b", nsm_detail={"k\0": "v\0"})])

    (row,) = await found(store, Equals("message", "a\\x00b"), own(board))

    assert row["nsm.detail"] == {"k\\x00": "v\\x00"}


async def test_signals_and_events_are_searched_apart(store: Store, board: str) -> None:
    await fill(store, [event(1, board), event(2, board, event_dataset=Dataset.SIGNAL)])

    assert ids(await found(store, scope=own(board))) == [f"{board}-00001"]
    assert ids(await found(store, scope=own(board), kind=Kind.SIGNAL)) == [f"{board}-00002"]


async def test_rows_come_newest_first_and_ties_by_id(store: Store, board: str) -> None:
    ties = [event(number, board, timestamp=NOON) for number in (2, 3, 1)]
    await fill(store, [*ties, event(4, board, timestamp=NOON - timedelta(microseconds=1))])

    newest = ids(await found(store, scope=own(board)))

    assert newest == [f"{board}-0000{number}" for number in (3, 2, 1, 4)]
    assert ids(await found(store, scope=own(board), oldest_first=True)) == newest[::-1]


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_pages_join_to_the_whole_without_gap_or_repetition(store: Store, board: str, oldest_first: bool) -> None:
    await fill(
        store, [event(number, board, timestamp=NOON + timedelta(hours=5 * (number // 3))) for number in range(20)]
    )

    pages = await found(store, scope=own(board), limit=7, oldest_first=oldest_first)

    assert ids(pages) == sorted((f"{board}-{number:05}" for number in range(20)), reverse=not oldest_first)


async def test_a_page_that_holds_exactly_the_last_rows_has_no_next(store: Store, board: str) -> None:
    await fill(store, [event(number, board) for number in range(4)])

    assert (await store.search(Search(Kind.EVENT, All(), own(board), limit=4))).next is None


async def test_since_is_included_and_until_is_not(store: Store, board: str) -> None:
    await fill(store, [event(number, board) for number in range(4)])

    rows = await found(store, scope=own(board), since=NOON + timedelta(seconds=1), until=NOON + timedelta(seconds=3))

    assert ids(rows) == [f"{board}-00002", f"{board}-00001"]


async def test_bounds_can_be_of_another_time_field_over_many_days(store: Store, board: str) -> None:
    arrived = [NOON + timedelta(minutes=number) for number in range(4)]
    await fill(
        store,
        [
            event(number, board, timestamp=NOON - timedelta(days=number), event_ingested=arrived[number])
            for number in range(4)
        ]
        + [event(9, board)],
    )

    rows = await found(store, scope=own(board), time_field="event.ingested", since=arrived[1], limit=2)

    assert ids(rows) == [f"{board}-0000{number}" for number in (3, 2, 1)]


async def test_a_search_sees_only_its_boards(store: Store, board: str) -> None:
    other, third = f"{board}x", f"{board}y"
    await fill(store, [event(1, board), event(1, other), event(1, third), event(1, f"{board}z", organization_id=None)])
    everything = Or((All(), Equals("organization.id", other), Not(Equals("organization.id", board))))

    for boards in ({board}, {board, third}, set[str]()):
        scope = Scope(frozenset(boards))
        rows = await found(store, everything, scope)
        assert {row["organization.id"] for row in rows} == boards
        tally = await store.tally(Search(Kind.EVENT, everything, scope), "organization.id")
        assert set(tally) == boards


async def test_a_document_cannot_claim_another_board_by_a_dotted_name(store: Store, board: str) -> None:
    await fill(store, [event(1, board, nsm_detail={"organization.id": f"{board}x"}, tags=[f"{board}x"])])

    assert await found(store, scope=own(f"{board}x")) == []


async def test_a_tally_counts_values_with_first_and_last(store: Store, board: str) -> None:
    signals = [
        event(
            number,
            board,
            event_dataset=Dataset.SIGNAL,
            signal_key=f"key{number % 3}",
            timestamp=NOON + timedelta(hours=7 * number, microseconds=number),
        )
        for number in range(8)
    ]
    await fill(store, [*signals, event(9, board, event_dataset=Dataset.SIGNAL)])

    tally = await store.tally(Search(Kind.SIGNAL, All(), own(board)), "signal.key", top=2)

    assert tally == {
        "key0": Tally(3, signals[0].timestamp, signals[6].timestamp),
        "key1": Tally(3, signals[1].timestamp, signals[7].timestamp),
    }
    assert list(tally) == ["key0", "key1"]


async def test_a_tally_counts_a_row_once_for_each_value_of_its_list(store: Store, board: str) -> None:
    await fill(store, [event(1, board, tags=["a", "b", "a"]), event(2, board, tags=["b"])])

    tally = await store.tally(Search(Kind.EVENT, All(), own(board)), "tags")

    assert {value: one.number for value, one in tally.items()} == {"b": 2, "a": 1}


@pytest.mark.parametrize("field", ["source.ip", "@timestamp", "no.such"])
async def test_only_text_is_tallied(store: Store, field: str) -> None:
    with pytest.raises(QueryError):
        await store.tally(Search(Kind.EVENT, All(), SECTOR), field)


@pytest.mark.parametrize(
    "search",
    [
        Search(Kind.EVENT, Equals("no.such", "x"), SECTOR),
        Search(Kind.EVENT, Equals("source.port", "x"), SECTOR),
        Search(Kind.EVENT, All(), SECTOR, time_field="message"),
        Search(Kind.EVENT, All(), SECTOR, since=datetime(2026, 1, 1)),
        Search(Kind.EVENT, All(), SECTOR, after="nonsense"),
        Search(Kind.EVENT, All(), SECTOR, limit=0),
    ],
    ids=["unknown field", "wrong type", "no time", "naive", "bad page", "no rows"],
)
async def test_a_search_that_cannot_be_run_is_refused_alike(store: Store, search: Search) -> None:
    with pytest.raises(QueryError):
        await store.search(search)


async def test_a_field_of_another_kind_is_absent(store: Store, board: str) -> None:
    await fill(store, [event(1, board)])

    assert await found(store, Exists("alert.state"), own(board)) == []
    assert len(await found(store, Not(Equals("alert.state", "open")), own(board))) == 1


async def test_one_of_takes_a_thousand_values(store: Store, board: str) -> None:
    await fill(store, [event(number, board, signal_key=f"k{number}") for number in range(3)])

    rows = await found(store, OneOf("signal.key", tuple(f"k{number}" for number in range(1, 1000))), own(board))

    assert ids(rows) == [f"{board}-00002", f"{board}-00001"]


async def test_a_record_is_put_got_and_changed(store: Store, board: str) -> None:
    version = await store.put(Kind.LEASE, lease(board, "a"), None)
    changed = await store.put(Kind.LEASE, lease(board, "b"), version)

    got = await store.get(Kind.LEASE, board)

    assert got is not None
    assert got == (lease(board, "b"), changed)
    assert changed != version


async def test_a_record_that_is_not_there_is_none(store: Store, board: str) -> None:
    assert await store.get(Kind.LEASE, board) is None


@pytest.mark.parametrize("name", ["", "a" * 513, "a" * 5000, "€" * 200, "\ud800", "a\0b"])
async def test_an_id_that_nothing_can_have_finds_none(store: Store, name: str) -> None:
    assert await store.get(Kind.ALERT, name) is None


async def test_a_record_cannot_be_created_twice(store: Store, board: str) -> None:
    await store.put(Kind.LEASE, lease(board, "a"), None)

    with pytest.raises(Conflict):
        await store.put(Kind.LEASE, lease(board, "b"), None)


async def test_a_change_by_an_old_version_is_a_conflict(store: Store, board: str) -> None:
    version = await store.put(Kind.LEASE, lease(board, "a"), None)
    await store.put(Kind.LEASE, lease(board, "b"), version)

    with pytest.raises(Conflict):
        await store.put(Kind.LEASE, lease(board, "c"), version)
    got = await store.get(Kind.LEASE, board)
    assert got is not None
    assert got.record == lease(board, "b")


@pytest.mark.parametrize("version", ["", "x", "1:2:3", "9999"])
async def test_a_strange_version_is_a_conflict(store: Store, board: str, version: str) -> None:
    await store.put(Kind.LEASE, lease(board, "a"), None)

    with pytest.raises(Conflict):
        await store.put(Kind.LEASE, lease(board, "b"), version)


async def test_a_record_of_another_kind_is_refused(store: Store, board: str) -> None:
    with pytest.raises(StoreError, match="no record of kind"):
        await store.put(Kind.ALERT, lease(board, "a"), None)


async def test_own_puts_are_found_at_once(store: Store, board: str) -> None:
    version = await store.put(Kind.LEASE, lease(board, "a"), None)
    assert [row["lease.holder"] for row in await found(store, Equals("id", board), kind=Kind.LEASE)] == ["a"]

    await store.put(Kind.LEASE, lease(board, "b"), version)
    assert [row["lease.holder"] for row in await found(store, Equals("id", board), kind=Kind.LEASE)] == ["b"]


async def test_many_records_are_put_over_old_ones(store: Store, board: str) -> None:
    def indicators(tlp: str, number: int) -> list[Indicator]:
        return [
            Indicator(
                id=f"{board}-{place}", timestamp=NOON, type=IndicatorType.DOMAIN, value=f"{place}.{board}", tlp=tlp
            )
            for place in range(number)
        ]

    await store.put_many(Kind.INDICATOR, indicators("RED", 3))
    await store.put_many(Kind.INDICATOR, indicators("GREEN", 2))

    where = And((Equals("threat.indicator.type", "domain"), OneOf("id", tuple(f"{board}-{n}" for n in range(5)))))
    rows = await found(store, where, kind=Kind.INDICATOR, oldest_first=True)
    assert [row.get("threat.indicator.marking.tlp") for row in rows] == ["GREEN", "GREEN", "RED"]


async def test_a_store_that_works_is_healthy(store: Store) -> None:
    assert (await store.health()).writable


async def test_events_of_several_datasets_are_taken_together(store: Store, board: str) -> None:
    datasets = (Dataset.DNS, Dataset.FLOW, Dataset.TLS)
    await fill(store, [event(place, board, event_dataset=dataset) for place, dataset in enumerate(datasets)])

    assert [row["event.dataset"] for row in await found(store, scope=own(board))] == ["tls", "flow", "dns"]


async def test_what_has_had_its_time_goes_and_the_rest_stays(store: Store, board: str) -> None:
    """Datasets that no other test has: the days of a store are everybody's."""
    day = timedelta(days=1)
    kept = [
        event(1, board, event_dataset=Dataset.MQTT, timestamp=NOON),
        event(2, board, event_dataset=Dataset.RFB, timestamp=NOON - 3 * day),
    ]
    gone = [
        event(3, board, event_dataset=Dataset.MQTT, timestamp=NOON - day),
        event(4, board, event_dataset=Dataset.MQTT, timestamp=NOON - 3 * day),
    ]
    await fill(store, [*kept, *gone])
    first = {Dataset.MQTT: NOON.date()}

    rehearsed = await store.expire(first, rehearse=True)
    assert len(await found(store, scope=own(board))) == 4
    assert len(await store.expire(first)) == len(rehearsed) >= 2
    await settle(store)
    assert ids(await found(store, scope=own(board))) == [f"{board}-00001", f"{board}-00002"]
    assert await store.expire(first) == []


async def test_a_late_event_of_a_day_that_expired_is_stored_and_found(store: Store, board: str) -> None:
    old = event(1, board, event_dataset=Dataset.SIP, timestamp=NOON - timedelta(days=40))
    await fill(store, [old])
    assert len(await found(store, scope=own(board))) == 1
    await store.expire(dict.fromkeys(Dataset, NOON.date() - timedelta(days=39)))
    await settle(store)
    assert await found(store, scope=own(board)) == []
    await fill(store, [old])
    assert len(await found(store, scope=own(board))) == 1
