"""SSH over the engine: both banners with their offers, and what is told when the connection ends before."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from tests.schoolwacht_agent.sources.packets.dissect.recorded import to_port
from tests.schoolwacht_agent.sources.packets.made import CLIENT
from tests.schoolwacht_agent.sources.packets.played import Played
from tests.schoolwacht_agent.sources.packets.talk import Line, connection

RECORDED = to_port(2222)[0]
SERVER_BANNER, CLIENT_BANNER = b"SSH-2.0-Server_1\r\n", b"SSH-2.0-Scanner_1\r\n"


def told(*lines: Line, closed: bool = True) -> list[Event]:
    return Played(*connection(*lines, port=22, closed=closed)).of(Dataset.SSH)


def software(events: list[Event]) -> list[tuple[str | None, str | None]]:
    return [(event.nsm_ssh_client_software, event.nsm_ssh_server_software) for event in events]


@settings(max_examples=20)
@given(size=st.integers(1, 200))
def test_a_handshake_is_one_event_however_it_is_cut(size: int) -> None:
    lines = ((True, RECORDED.up), (False, RECORDED.down))
    (event,) = Played(*connection(*lines, port=22, size=size)).of(Dataset.SSH)
    assert event.nsm_ssh_client_software
    assert event.nsm_ssh_server_software
    assert event.nsm_ssh_client_hassh
    assert event.nsm_ssh_server_hassh


@pytest.mark.parametrize("closed", [True, False])
def test_banners_without_an_offer_are_told_at_the_end(closed: bool) -> None:
    found = told((False, SERVER_BANNER), (True, CLIENT_BANNER), closed=closed)
    assert software(found) == [("Scanner_1", "Server_1")]
    assert (found[0].nsm_ssh_client_hassh, found[0].nsm_ssh_server_hassh) == (None, None)


def test_of_one_side_that_spoke_that_side_is_told() -> None:
    assert software(told((False, SERVER_BANNER))) == [(None, "Server_1")]
    assert software(told((True, CLIENT_BANNER))) == [("Scanner_1", None)]


def test_an_offer_cut_off_by_the_end_leaves_both_banners() -> None:
    """The server said all, the client's offer breaks off."""
    cut = RECORDED.up[: RECORDED.up.index(b"\n") + 100]
    (event,) = told((False, RECORDED.down), (True, cut))
    assert event.nsm_ssh_client_software
    assert event.nsm_ssh_client_hassh is None
    assert event.nsm_ssh_server_hassh


def test_a_banner_without_its_end_is_none() -> None:
    assert told((True, b"SSH-2.0-half")) == []


def test_what_was_told_is_not_told_again_at_the_end() -> None:
    played = Played(*connection((True, RECORDED.up), (False, RECORDED.down), port=22))
    assert len([event for event in played.early if event.event_dataset is Dataset.SSH]) == 1
    assert len(played.of(Dataset.SSH)) == 1


def test_what_is_told_at_the_end_has_the_time_of_the_last_packet_and_the_client_as_source() -> None:
    played = Played(*connection((False, SERVER_BANNER), (True, CLIENT_BANNER), port=22))
    (event,) = played.of(Dataset.SSH)
    assert event.timestamp == played.flow.event_end
    assert (event.source_ip, event.source_mac) == (CLIENT, "02-00-00-00-00-30")
