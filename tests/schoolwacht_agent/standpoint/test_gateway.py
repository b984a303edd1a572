from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.standpoint.gateway import Gateway
from schoolwacht_agent.standpoint.settings import ZoneKind, ZoneTable

ZONES = (
    ZoneTable(name="staff", kind=ZoneKind.STAFF, networks=("10.1.0.0/16", "2001:db8:1::/48")),
    ZoneTable(name="pupils", kind=ZoneKind.PUPIL, networks=("10.0.0.0/8",), vlans=(20, 21)),
    ZoneTable(name="guests", kind=ZoneKind.GUEST, vlans=(30,)),
)


def placed(source: str | None, destination: str | None, vlan: str | None = None) -> Event:
    event = Event(
        datetime(2026, 1, 1, tzinfo=UTC), Dataset.FLOW, source_ip=source, destination_ip=destination,
        network_vlan_id=vlan,
    )  # fmt: skip
    gateway = Gateway(Homes(["10.0.0.0/8", "192.168.0.0/16", "2001:db8:1::/48"]), ZONES)
    assert gateway.place([event]) == [event]
    return event


@pytest.mark.parametrize(
    ("source", "destination", "vlan", "zone"),
    [
        ("10.1.0.1", "8.8.8.8", None, "staff"),
        ("8.8.8.8", "10.1.0.1", None, "staff"),
        ("10.1.0.1", "10.2.0.1", "20", "staff"),
        ("10.2.0.1", "10.1.0.1", "20", "pupils"),
        ("10.2.0.1", "8.8.8.8", None, None),
        ("10.2.0.1", "8.8.8.8", "40", None),
        ("192.168.1.1", "8.8.8.8", "30", "guests"),
        ("2001:db8:1::5", "2a00::1", None, "staff"),
        ("0.0.0.0", "255.255.255.255", "30", "guests"),
        (None, None, "30", "guests"),
    ],
)
def test_the_zone_is_that_of_the_schools_own_end(
    source: str | None, destination: str | None, vlan: str | None, zone: str | None
) -> None:
    assert placed(source, destination, vlan).school_zone == zone


def test_traffic_between_strangers_is_in_no_zone() -> None:
    assert placed("8.8.8.8", "9.9.9.9", "30").school_zone is None


def test_a_gateway_never_names_a_school() -> None:
    assert placed("10.1.0.1", "8.8.8.8").school_location is None


def test_without_zones_only_the_direction_is_set() -> None:
    event = placed("10.1.0.1", "8.8.8.8")
    other = Event(event.timestamp, Dataset.FLOW, source_ip="10.1.0.1", destination_ip="8.8.8.8")
    Gateway(Homes()).place([other])
    assert (other.network_direction, other.school_zone) == (event.network_direction, None)
