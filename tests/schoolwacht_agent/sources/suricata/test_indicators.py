"""Indicators inside the real Suricata: loaded at its start, exchanged while it runs."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.utils import rdpcap, wrpcap

from schoolwacht.errors import SourceError
from schoolwacht.event import Dataset, Event
from schoolwacht.indicators import IndicatorType, Known, encode_set, read_set
from schoolwacht_agent.config import SuricataTable
from schoolwacht_agent.indicators.keep import put
from schoolwacht_agent.indicators.match import Matcher
from schoolwacht_agent.sources.suricata.command import order
from schoolwacht_agent.sources.suricata.indicators import REPUTATION, write
from schoolwacht_agent.sources.suricata.source import SuricataSource
from tests.parts import CAPTURES
from tests.schoolwacht_agent.sources.suricata.test_source import has_started, inside, send, wire

__all__ = ["inside", "wire"]  # fixtures

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


def use(state: Path, *known: Known) -> None:
    put(state, read_set(encode_set(known).raw, path="set"), confirmed=True)


def of_another_client(capture: Path, target: Path) -> Path:
    """The same conversations of another host, so that they are new ones."""
    packets = rdpcap(str(capture))
    for packet in packets:
        for layer in (IP, TCP, UDP):
            if layer in packet:
                del packet[layer].chksum
        if IP in packet:
            for end in ("src", "dst"):
                if getattr(packet[IP], end).startswith("10."):
                    setattr(packet[IP], end, "10.21.9.9")
    wrpcap(str(target), packets)
    return target


def of_indicators(events: list[Event]) -> set[str]:
    return {event.rule_id or "" for event in events if event.event_dataset is Dataset.SIGNAL}


def test_the_files_hold_each_indicator_as_suricata_writes_it(tmp_path: Path) -> None:
    known = [
        Known(IndicatorType.DOMAIN, "evil.example"),
        Known(IndicatorType.CERTIFICATE_SHA1, "ab" * 20),
        Known(IndicatorType.CERTIFICATE_SHA256, "ab" * 32),
        Known(IndicatorType.NETWORK, "203.0.113.0/24"),
        Known(IndicatorType.ADDRESS, "2001:db8::1"),
    ]
    assert write(tmp_path, known) == 4
    assert (tmp_path / "domains.lst").read_text() == "ZXZpbC5leGFtcGxl\n"
    assert (tmp_path / REPUTATION).read_text() == "203.0.113.0/24,1,127\n2001:db8::1,1,127\n"
    assert not list(tmp_path.glob("*.new"))


def test_indicators_that_come_while_it_runs_match_and_nothing_is_started_again(
    inside: SuricataTable, tmp_path: Path
) -> None:
    """No restart: the same process; no gap: every packet of before, between and after is counted, none dropped."""
    state = tmp_path / "s"
    second = of_another_client(CAPTURES / "bad-download.pcap", tmp_path / "second.pcap")
    use(state, Known(IndicatorType.DOMAIN, "nergens.example"))
    source = SuricataSource.live("swl0", state / "suricata", settings=inside)
    feed = source._feeds[0]
    found: list[Event] = []
    pids: set[str] = set()
    before: set[str] | None = None
    step, calm = "start", 0
    for events in source.read():
        found += events
        calm = 0 if events else calm + 1
        running = state / "suricata" / "engine.pid"
        if step != "start" and running.exists():
            pids.add(running.read_text(encoding="ascii"))
        if step == "start" and has_started(state / "suricata"):
            send(CAPTURES / "bad-download.pcap")
            step = "first"
        elif step == "first" and calm > 2 and found:
            before = of_indicators(found)
            use(
                state,
                Known(IndicatorType.DOMAIN, "gratis-spellen.example"),
                Known(IndicatorType.ADDRESS, "203.0.113.66"),
            )
            step = "exchanged"
        elif step == "exchanged" and feed._refresher.reloads and not events:  # type: ignore[attr-defined]
            step, calm = "reloading", 0
        elif step == "reloading" and calm > 2:
            send(second)
            step, calm = "second", 0
        elif step == "second" and calm > 4:
            source.stop()
            step = "done"
    assert before == set()
    assert {"9102421", "9102423", "9102411"} <= of_indicators(found)
    assert len(pids) == 1
    assert source.counters.dropped == 0
    signals = Matcher(state).through([one for one in found if one.event_dataset is Dataset.SIGNAL])
    assert {one.threat_indicator_name for one in signals} == {"gratis-spellen.example", "203.0.113.66"}


def answering(path: Path, *answers: bytes) -> threading.Thread:
    """A command socket that says these lines."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1)

    def serve() -> None:
        with listener, listener.accept()[0] as peer:
            for answer in answers:
                peer.recv(4096)
                for place in range(len(answer)):
                    peer.sendall(answer[place : place + 1])

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_an_order_gets_its_answer_however_it_is_cut(tmp_path: Path) -> None:
    thread = answering(tmp_path / "s", b'{"return":"OK"}\n', b'{"message":"done","return":"OK"}\n')
    assert order(tmp_path / "s", "uptime") == "done"
    thread.join()


def test_a_refusal_is_said(tmp_path: Path) -> None:
    thread = answering(tmp_path / "s", b'{"return":"OK"}\n', b'{"message":"Unknown command","return":"NOK"}\n')
    with pytest.raises(SourceError, match="Unknown command"):
        order(tmp_path / "s", "dansen")
    thread.join()


def test_a_peer_that_goes_away_is_said(tmp_path: Path) -> None:
    thread = answering(tmp_path / "s", b'{"return":"OK"}\n')
    with pytest.raises(SourceError, match=r"ended the conversation|cannot be used"):
        order(tmp_path / "s", "uptime")
    thread.join()


def test_no_socket_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be used"):
        order(tmp_path / "niets", "uptime")
