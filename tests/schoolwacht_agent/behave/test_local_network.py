"""D03, D05 and D33: ARP, Kerberos and DHCP."""

from datetime import timedelta

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.behave.arp_scan import ArpScanSettings
from tests.schoolwacht_agent.behave.traffic import MORNING, found


def arp(at: float, target: int) -> Event:
    return Event(
        timestamp=MORNING + timedelta(seconds=at),
        event_dataset=Dataset.ARP,
        source_mac="02:00:00:00:00:01",
        nsm_arp_operation="request",
        nsm_arp_sender_ip="10.21.0.23",
        nsm_arp_target_ip=f"10.21.0.{target}",
    )


def kerberos(at: float, name: str, error: str | None) -> Event:
    return Event(
        timestamp=MORNING + timedelta(seconds=at),
        event_dataset=Dataset.KRB5,
        source_ip="10.21.0.23",
        nsm_krb5_msg_type="KRB_ERROR" if error else "KRB_AS_REP",
        nsm_krb5_cname=name,
        nsm_krb5_error_code=error,
    )


def dhcp(at: float, kind: str, client: int = 1, server: str | None = None, transaction: str = "0x1") -> Event:
    return Event(
        timestamp=MORNING + timedelta(seconds=at),
        event_dataset=Dataset.DHCP,
        nsm_dhcp_type=kind,
        nsm_dhcp_client_mac=f"02:00:00:00:{client // 256:02x}:{client % 256:02x}",
        nsm_dhcp_transaction_id=transaction,
        nsm_dhcp_server_ip=server,
    )


def test_fifty_arp_targets_are_a_scan() -> None:
    assert found(arp(n / 10, n) for n in range(50)) == ["D03"]


def test_forty_nine_arp_targets_or_the_same_one_often_are_not() -> None:
    assert found([*(arp(n / 10, n) for n in range(49)), *(arp(5, 1) for _ in range(100))]) == []


def test_an_allowed_machine_may_ask_for_all() -> None:
    allowed = BehaveSettings(arp_scan=ArpScanSettings(allowed_macs=("02:00:00:00:00:01",)))
    events = [arp(n / 10, n) for n in range(200)]
    assert Behaviour(allowed).judge(events) == events


def test_ten_names_with_five_failures_are_a_spray() -> None:
    assert found(kerberos(n, f"user{n}", "KDC_ERR_PREAUTH_FAILED" if n < 5 else None) for n in range(10)) == ["D05"]


def test_a_class_that_logs_in_is_not() -> None:
    events = [kerberos(n, f"pupil{n}", "KDC_ERR_PREAUTH_REQUIRED" if n % 2 else None) for n in range(30)]
    assert found([*events, kerberos(31, "pupil3", "KDC_ERR_PREAUTH_FAILED")]) == []


def test_two_servers_that_answer_one_request_are_reported_once() -> None:
    answers = [
        dhcp(0, "offer", server="10.21.0.1"),
        dhcp(0.1, "offer", server="10.21.0.99"),
        dhcp(1, "ack", server="10.21.0.1"),
    ]
    assert found(answers) == ["D33"]


def test_the_same_two_servers_are_told_once_and_again_at_ten_requests() -> None:
    answers = [
        dhcp(n * 300 + server / 10, "offer", client=n, server=f"10.21.0.{server}", transaction=f"0x{n:x}")
        for n in range(12)
        for server in (1, 2)
    ]
    assert found(answers) == ["D33", "D33"]


def test_one_server_that_answers_twice_is_not() -> None:
    assert found([dhcp(0, "offer", server="10.21.0.1"), dhcp(1, "ack", server="10.21.0.1")]) == []


def test_a_flood_may_come_from_many_machines_or_from_one() -> None:
    assert found(dhcp(n / 10, "discover", client=n, transaction=f"0x{n:x}") for n in range(200)) == ["D33"]
    assert found(dhcp(n / 100, "discover", transaction=f"0x{n:x}") for n in range(500)) == ["D33"]


def test_a_school_that_switches_on_its_computers_is_not() -> None:
    assert found(dhcp(n, "discover", client=n, transaction=f"0x{n:x}") for n in range(150)) == []
