from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.standpoint.follow import Mapping
from schoolwacht_agent.standpoint.ndc import NdcPath

LINES = """network,vlan,school,zone
203.0.113.0/26,,00AB00,staff
203.0.113.64/26,,00AB00,pupils
198.51.100.0/24,,11CD01,
10.0.0.0/8,12,22EF02,
,13,33GH03,
,14.5,44IJ04,
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "schools.csv"
    path.write_text(LINES)
    return path


@pytest.fixture
def ndc(file: Path) -> NdcPath:
    return NdcPath(Homes(["10.0.0.0/8", "fd00::/8"]), Mapping(file))


def event(
    source: str | None, destination: str | None, vlan: str | None = None, inner: str | None = None, *,
    dataset: Dataset = Dataset.FLOW,
) -> Event:  # fmt: skip
    return Event(
        datetime(2026, 1, 1, tzinfo=UTC), dataset, source_ip=source, destination_ip=destination,
        network_vlan_id=vlan, network_inner_vlan_id=inner, network_bytes=100,
    )  # fmt: skip


def seen(ndc: NdcPath, one: Event) -> list[tuple[str | None, str | None, Direction | None]]:
    return [(made.school_location, made.school_zone, made.network_direction) for made in ndc.settle(ndc.place([one]))]


OUT, IN, INSIDE = Direction.OUTBOUND, Direction.INBOUND, Direction.INTERNAL


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (("203.0.113.1", "8.8.8.8"), [("00AB00", "staff", OUT)]),
        (("8.8.8.8", "203.0.113.65"), [("00AB00", "pupils", IN)]),
        (("203.0.113.1", "203.0.113.65"), [("00AB00", "staff", INSIDE)]),
        (("203.0.113.1", "198.51.100.1"), [("00AB00", "staff", OUT), ("11CD01", None, IN)]),
        (("203.0.113.1", "224.0.0.251"), [("00AB00", "staff", INSIDE)]),
        (("10.0.0.1", "8.8.8.8", "12"), [("22EF02", None, OUT)]),
        (("10.0.0.1", "8.8.8.8", "13"), [("33GH03", None, OUT)]),
        (("8.8.8.8", "10.0.0.1", "13"), [("33GH03", None, IN)]),
        (("10.0.0.1", "203.0.113.1", "13"), [("33GH03", None, OUT), ("00AB00", "staff", IN)]),
        (("10.0.0.1", "8.8.8.8", "14", "5"), [("44IJ04", None, OUT)]),
        (("0.0.0.0", "255.255.255.255", "13"), [("33GH03", None, INSIDE)]),
        (("203.0.113.1", None), [("00AB00", "staff", None)]),
        ((None, None, "13"), [("33GH03", None, None)]),
    ],
)
def test_an_event_belongs_to_the_school_of_its_ends(
    ndc: NdcPath, ends: Sequence[str | None], expected: list[tuple[str | None, str | None, Direction | None]]
) -> None:
    assert seen(ndc, event(*ends)) == expected


@pytest.mark.parametrize(
    "ends", [("10.0.0.1", "8.8.8.8"), ("10.0.0.1", "8.8.8.8", "14"), ("8.8.8.8", "9.9.9.9", "13"), (None, None)]
)
def test_traffic_of_no_known_school_is_counted_and_goes_no_further(ndc: NdcPath, ends: Sequence[str | None]) -> None:
    assert seen(ndc, event(*ends)) == []
    assert seen(ndc, event(*ends, dataset=Dataset.DNS)) == []
    figures = ndc.figures()
    assert (figures["unknown.events"], figures["unknown.flows"], figures["unknown.bytes"]) == (2, 1, 100)


def test_what_the_sensor_says_of_itself_is_of_no_school_and_passes(ndc: NdcPath) -> None:
    assert seen(ndc, event(None, None, dataset=Dataset.HEALTH)) == [(None, None, None)]
    assert ndc.figures()["unknown.events"] == 0


def test_behaviour_sees_an_event_between_two_schools_once(ndc: NdcPath) -> None:
    assert len(ndc.place([event("203.0.113.1", "198.51.100.1")])) == 1


def test_an_address_is_home_if_it_is_a_schools(ndc: NdcPath) -> None:
    assert ndc.is_home("203.0.113.1")
    assert not ndc.is_home("10.0.0.1")
    assert ndc.is_home("10.0.0.1", "13")
    assert not ndc.is_home("8.8.8.8", "13")
    assert not ndc.is_home(None)


def test_a_new_mapping_holds_for_addresses_that_were_asked_before(ndc: NdcPath, file: Path) -> None:
    one = ("203.0.113.1", "8.8.8.8")
    assert seen(ndc, event(*one)) == [("00AB00", "staff", OUT)]
    file.write_text(LINES.replace("00AB00,staff", "55KL05,"))
    ndc.reload()
    assert ndc.attend() == []
    assert seen(ndc, event(*one)) == [("55KL05", None, OUT)]
    file.write_text("nonsense")
    ndc.reload()
    assert [finding.condition for finding in ndc.attend()] == ["mapping"]
    assert seen(ndc, event(*one)) == [("55KL05", None, OUT)]
