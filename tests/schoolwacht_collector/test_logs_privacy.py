"""What agents say of people gets into no log, whatever becomes of it: stored, rejected, refused, or failed on."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict, encode_batch, encode_event
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.logs import JsonFormatter
from tests.schoolwacht_collector.serving import EPOCH, NOW, deliver, flow, post, serving

PLANTED = ("10.66.77.88", "j.jansen", "laptop-van-jansen", "jansen@school.example", "aa:bb:cc:dd:ee:ff")


def told() -> list[Event]:
    address, name, host, mail, mac = PLANTED
    return [
        flow(source_ip=address, source_mac=mac, dns_question_name=host),
        flow(source_ip=host),
        flow(source_ip=address, school_location=name),
        flow(source_ip=address, school_zone=f"<{name}>"),
        Event(NOW, Dataset.KRB5, nsm_krb5_cname=name, source_ip=address),
        Event(NOW, Dataset.SIGNAL, message=mail, source_ip=address),
        Event(NOW, Dataset.HEALTH, event_module="agent", nsm_detail={"ledger": name}, message=mail),
    ]


async def test_no_identity_of_an_event_gets_into_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    store = MemoryStore()
    async with serving(store, tmp_path) as served:
        key = await served.enrolled()
        first = await deliver(served.url, key, told())
        assert first.verdicts.count(Verdict.REJECTED) == 4
        poison = encode_event(told()[0])[:-3] + PLANTED[1].encode()
        await post(served.url, key, encode_batch(EPOCH, [90], [poison]), items=1)
        await post(served.url, key, PLANTED[1].encode(), items=1)
        await post(served.url, f"{PLANTED[1]}.{'A' * 43}", b"", items=0)
        store.outage = "it does not answer"
        frame = encode_batch(EPOCH, [91], [encode_event(told()[0])])
        await post(served.url, key, frame, items=1)
        await post(served.url, f"gateway-2.{'A' * 43}", frame, items=1)
        served.dead_letters._directory.rename(tmp_path / "away")
        served.dead_letters._directory.write_text("in the way")
        await deliver(served.url, key, told(), first=100)
    log = "\n".join(JsonFormatter().format(record) for record in caplog.records)
    assert "dead letters cannot be written" in log
    assert [one for one in PLANTED if one in log] == []
    assert key.partition(".")[2] not in log
