"""D29: mail or FTP after an address check."""

from datetime import timedelta
from typing import Any

import pytest

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.behave.mail_exfiltration import MailExfiltrationSettings
from tests.schoolwacht_agent.behave.traffic import MORNING, SILENT, flow, found, query, signals


def mail(at: float, port: int = 587, **how: Any) -> Event:
    return flow(at, port=port, **how)


@pytest.mark.parametrize("port", [21, 25, 587])
@pytest.mark.parametrize("name", ["api.ipify.org", "checkip.dyndns.org", "ip-api.com", "ipinfo.io"])
def test_an_address_check_and_then_mail_or_ftp_is_told(name: str, port: int) -> None:
    (signal,) = signals([query(0, name), mail(20, port)])
    assert (signal.rule_id, signal.signal_severity) == ("D29", "Major")
    assert (signal.nsm_detail or {})["seconds"] == "20"
    assert name in (signal.message or "")


@pytest.mark.parametrize("dataset", [Dataset.TLS, Dataset.HTTP])
def test_the_check_may_be_seen_as_a_server_name_or_a_web_host(dataset: Dataset) -> None:
    check = Event(timestamp=MORNING, event_dataset=dataset, source_ip="10.21.0.23")
    check.tls_client_server_name = check.url_domain = "api.ipify.org"
    assert found([check, mail(5)]) == ["D29"]


def test_mail_before_the_check_or_long_after_it_is_not() -> None:
    assert found([mail(0), query(5, "api.ipify.org")]) == []
    assert found([query(0, "api.ipify.org"), mail(601)]) == []


def test_the_mail_of_another_host_is_not() -> None:
    assert found([query(0, "api.ipify.org", client="10.21.0.24"), mail(5)]) == []


def test_a_server_that_does_not_answer_is_not() -> None:
    assert found([query(0, "api.ipify.org"), mail(5, reply=SILENT)]) == []


def test_the_school_s_own_mail_server_is_not() -> None:
    assert found([query(0, "api.ipify.org"), mail(5, direction=Direction.INTERNAL)]) == []


def test_web_traffic_after_a_check_is_not() -> None:
    assert found([query(0, "api.ipify.org"), flow(5, port=443)]) == []


def test_a_printer_that_scans_to_mail_may() -> None:
    settings = BehaveSettings(mail_exfiltration=MailExfiltrationSettings(allowed=("10.21.0.23",)))
    events = [query(0, "api.ipify.org"), mail(5)]
    assert Behaviour(settings).judge(events) == events


def test_a_mail_and_its_flow_are_told_once_and_so_are_nine_mails() -> None:
    smtp = Event(
        timestamp=MORNING + timedelta(seconds=5),
        event_dataset=Dataset.SMTP,
        source_ip="10.21.0.23",
        destination_ip="203.0.113.20",
        destination_port=587,
        network_direction=Direction.OUTBOUND,
        network_community_id="1:0",
    )
    nine = [mail(5 + n, conversation=f"1:{n}") for n in range(9)]
    assert found([query(0, "api.ipify.org"), smtp, *nine]) == ["D29"]


def test_a_flow_told_after_the_next_check_still_belongs_to_the_check_before_it() -> None:
    assert found([query(0, "api.ipify.org"), query(60, "api.ipify.org"), mail(5)]) == ["D29"]
