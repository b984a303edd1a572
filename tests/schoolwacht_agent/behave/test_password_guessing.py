from schoolwacht.event import Direction
from tests.schoolwacht_agent.behave.traffic import REFUSED, flow, found


def test_ten_brief_logins_at_ssh_within_two_minutes_are_guessing() -> None:
    assert found(flow(n * 8, port=22) for n in range(10)) == ["D04"]


def test_ssh_on_another_port_is_recognised_by_its_protocol() -> None:
    assert found(flow(n * 8, port=2222, protocol="ssh") for n in range(10)) == ["D04"]


def test_nine_logins_are_not() -> None:
    assert found(flow(n * 8, port=22) for n in range(9)) == []


def test_ten_logins_over_ten_minutes_are_not() -> None:
    assert found(flow(n * 60, port=22) for n in range(10)) == []


def test_long_sessions_are_work() -> None:
    assert "D04" not in found(flow(n, port=22, seconds=300) for n in range(30))


def test_connections_that_nobody_answers_are_no_logins() -> None:
    assert found(flow(n, port=22, reply=REFUSED) for n in range(30)) == []


def test_twenty_rdp_logins_from_outside_are_reported_as_such() -> None:
    attempts = [
        flow(n * 20, source="203.0.113.9", destination="10.21.8.10", port=3389, direction=Direction.INBOUND)
        for n in range(20)
    ]
    assert found(attempts) == ["D08"]
