from schoolwacht.event import Direction
from tests.schoolwacht_agent.behave.traffic import ANSWERED, REFUSED, SILENT, flow, found, signals


def sweep(
    hosts: int, port: int = 445, reply: tuple[str, str | None, int] = SILENT, answering: int = 0
) -> list[str | None]:
    return found(
        flow(
            n,
            destination=f"10.21.3.{n + 1}",
            port=port,
            reply=ANSWERED if n < answering else reply,
            direction=Direction.INTERNAL,
        )
        for n in range(hosts)
    )


def test_twenty_hosts_that_do_not_answer_are_a_scan() -> None:
    assert sweep(20) == ["D02"]


def test_refusing_hosts_count_like_silent_ones() -> None:
    assert sweep(20, reply=REFUSED) == ["D02"]


def test_nineteen_are_not() -> None:
    assert sweep(19) == []


def test_hosts_that_answer_are_printers_and_discovery() -> None:
    assert sweep(30, answering=10) == []


def test_web_dns_and_discovery_ports_are_left_out() -> None:
    for port in (53, 80, 443, 1900, 5353):
        assert sweep(40, port=port) == []


def test_multicast_and_broadcast_are_left_out() -> None:
    groups = [flow(n, destination=f"239.255.1.{n + 1}", port=9999, reply=SILENT, transport="udp") for n in range(40)]
    assert found(groups) == []


def test_the_signal_names_no_single_destination() -> None:
    (signal,) = signals(flow(n, destination=f"10.21.3.{n + 1}", port=22, reply=SILENT) for n in range(20))
    assert signal.destination_ip is None
    assert signal.destination_port == 22
    assert signal.nsm_detail == {"hosts": "20", "unanswered": "20"}


def test_a_program_that_looks_for_its_peers_on_the_internet_is_low() -> None:
    peers = [flow(n, destination=f"203.0.{n}.7", port=6881, reply=SILENT, transport="udp") for n in range(30)]
    (signal,) = signals(peers)
    assert (signal.rule_id, signal.signal_severity, signal.signal_confidence) == ("D02", "Minor", "Low")
