"""D30: far more out of the school than usual."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.behave.upload import UploadSettings
from tests.schoolwacht_agent.behave.traffic import MORNING, flow

GB = 1_000_000_000
DAY = 86_400
NIGHT = (datetime(2026, 11, 24, 2, tzinfo=ZoneInfo("Europe/Amsterdam")) - MORNING).total_seconds()


def upload(at: float, sent: int, **how: Any) -> Event:
    event = flow(at, **how)
    event.source_bytes = sent
    return event


def told(behaviour: Behaviour, events: list[Event]) -> list[Event]:
    return [event for event in behaviour.judge(events) if event.rule_id == "D30"]


def found(events: list[Event]) -> list[str | None]:
    return [event.rule_id for event in told(Behaviour(BehaveSettings()), events)]


def quiet_days(behaviour: Behaviour, days: int = 5) -> None:
    for day in range(-days, 0):
        behaviour.judge([upload(day * DAY, 1_000_000)])


def test_a_gigabyte_in_an_hour_where_little_is_usual_is_medium() -> None:
    behaviour = Behaviour(BehaveSettings())
    quiet_days(behaviour)
    (signal,) = told(behaviour, [upload(n * 60, GB // 10) for n in range(11)])
    assert (signal.rule_id, signal.signal_severity, signal.signal_confidence) == ("D30", "Minor", "Medium")
    assert (signal.nsm_detail or {})["target"] == "203.0.113.20"
    assert (signal.nsm_detail or {})["phase"] == "lessons"


def test_before_anything_is_known_of_the_hour_it_is_low() -> None:
    (signal,) = told(Behaviour(BehaveSettings()), [upload(0, 2 * GB)])
    assert (signal.rule_id, signal.signal_confidence) == ("D30", "Low")


def test_less_than_a_gigabyte_in_an_hour_is_not() -> None:
    assert found([upload(n * 60, GB // 100) for n in range(59)]) == []


def test_a_gigabyte_over_a_school_day_is_not() -> None:
    assert found([upload(n * 3600, GB // 4) for n in range(8)]) == []


def test_downloads_traffic_inside_and_what_outsiders_fetch_are_not() -> None:
    download = flow(0)
    download.destination_bytes = 5 * GB
    inside = upload(1, 5 * GB, direction=Direction.INTERNAL)
    served = upload(2, 5 * GB, direction=Direction.INBOUND)
    assert found([download, inside, served]) == []


@pytest.mark.parametrize("port", [3480, 8801, 19305])
def test_a_video_call_is_not(port: int) -> None:
    assert found([upload(0, 3 * GB, port=port, transport="udp")]) == []


def test_a_video_site_is_not_and_the_school_names_its_backup() -> None:
    def named(name: str) -> list[Event]:
        tls = Event(
            timestamp=MORNING, event_dataset=Dataset.TLS, network_community_id="1:a", tls_client_server_name=name
        )
        return [tls, upload(1, 3 * GB, conversation="1:a")]

    assert found(named("upload.youtube.com")) == []
    assert found(named("vault.backup.example")) == ["D30"]
    settings = BehaveSettings(upload=UploadSettings(services=("backup.example",)))
    assert told(Behaviour(settings), named("vault.backup.example")) == []


def test_a_nightly_backup_is_usual_after_three_nights_and_five_times_as_much_is_not() -> None:
    behaviour = Behaviour(BehaveSettings())
    for day in (-1, 0, 1, 2):
        heard = told(behaviour, [upload(NIGHT + day * DAY, 5 * GB)])
        assert [signal.signal_confidence for signal in heard] == (["Low"] if day < 2 else [])
    (signal,) = told(behaviour, [upload(NIGHT + 3 * DAY, 40 * GB)])
    assert signal.signal_confidence == "Medium"


def test_one_long_upload_counts_in_the_hours_it_took() -> None:
    assert found([upload(0, int(1.8 * GB), seconds=7200)]) == []
    assert found([upload(0, 4 * GB, seconds=7200)]) == ["D30"]


def test_an_upload_that_goes_on_is_told_once_and_again_at_ten_times_as_much() -> None:
    assert found([upload(n, GB // 2) for n in range(10)]) == ["D30"]
    assert found([upload(n, GB // 2) for n in range(25)]) == ["D30", "D30"]


def test_what_is_usual_outlives_a_restart(tmp_path: Path) -> None:
    memory = tmp_path / "baselines"
    behaviour = Behaviour(BehaveSettings(), memory)
    for day in (-7, -6, -5, -4):
        behaviour.judge([upload(day * DAY + timedelta(hours=1).total_seconds(), 5 * GB)])
    behaviour.close()
    again = Behaviour(BehaveSettings(), memory)
    assert told(again, [upload(3600, 5 * GB)]) == []
