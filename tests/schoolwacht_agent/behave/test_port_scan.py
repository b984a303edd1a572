from schoolwacht.event import Direction, Event
from tests.schoolwacht_agent.behave.traffic import ANSWERED, REFUSED, SILENT, flow, found, signals


def inside(at: float, port: int, reply: tuple[str, str | None, int] = SILENT, source_port: int = 50000) -> Event:
    return flow(
        at, "10.21.0.23", "10.21.8.10", port, reply=reply, source_port=source_port, direction=Direction.INTERNAL
    )


def test_fifty_ports_of_one_host_within_a_minute_are_a_scan() -> None:
    (signal,) = signals(inside(n / 10, 1000 + n, REFUSED) for n in range(50))
    assert signal.rule_id == "D01"
    assert signal.source_ip == "10.21.0.23"
    assert signal.destination_ip == "10.21.8.10"
    assert signal.destination_port is None
    assert signal.nsm_detail == {"ports": "50", "open": "0"}


def test_forty_nine_ports_are_not() -> None:
    assert found(inside(n / 10, 1000 + n) for n in range(49)) == []


def test_fifty_ports_over_an_hour_are_not() -> None:
    assert found(inside(n * 72, 1000 + n) for n in range(50)) == []


def test_five_ports_of_administration_services_are_enough() -> None:
    assert found(inside(n, port) for n, port in enumerate((22, 445, 3389, 5900, 1433))) == ["D01"]


def test_a_scan_of_a_thousand_ports_speaks_at_fifty_and_at_five_hundred_only() -> None:
    scan = signals(inside(n / 100, port=1 + n, reply=REFUSED) for n in range(1000))
    assert [signal.nsm_detail for signal in scan] == [{"ports": "50", "open": "0"}, {"ports": "500", "open": "0"}]


def test_a_second_scan_after_a_pause_speaks_again() -> None:
    scans = [inside(start + n / 10, 1000 + n) for start in (0, 600) for n in range(60)]
    assert found(scans) == ["D01", "D01"]


def test_replies_to_many_client_ports_are_no_scan() -> None:
    midstream = ("18", "18", 5)
    assert found(inside(n / 10, 40000 + n, midstream, source_port=443) for n in range(80)) == []


def test_a_page_with_many_connections_is_no_scan() -> None:
    assert "D01" not in found(flow(n / 10, port=443, source_port=40000 + n, reply=ANSWERED) for n in range(200))


def test_passive_ftp_that_opens_a_port_a_file_is_low() -> None:
    files = [inside(n / 2, 40_000 + n, ANSWERED, source_port=50_000 + n) for n in range(60)]
    (signal,) = signals(files)
    assert (signal.signal_severity, signal.signal_confidence) == ("Minor", "Low")


def test_a_scan_that_finds_a_few_open_ports_is_not() -> None:
    (signal,) = signals(inside(n / 10, 1000 + n, ANSWERED if n % 5 == 0 else SILENT) for n in range(60))
    assert (signal.signal_severity, signal.signal_confidence) == ("Major", "High")
    assert (signal.nsm_detail or {})["open"] == "10"
