"""D13: renaming and deleting, and what is neither."""

from collections.abc import Iterator
from datetime import timedelta

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from tests.schoolwacht_agent.behave.traffic import MORNING, found, signals

DAY = 86_400


def command(at: float, name: str = "SMB2_COMMAND_CREATE", file: str | None = None, **detail: str) -> Event:
    """A command of one session on one tree, as Suricata tells it."""
    return Event(
        timestamp=MORNING + timedelta(seconds=at),
        event_dataset=Dataset.SMB,
        source_ip="10.21.0.23",
        destination_ip="10.21.8.10",
        network_community_id="1:smb",
        nsm_smb_command=name,
        nsm_smb_filename=file,
        nsm_smb_status="STATUS_SUCCESS",
        nsm_detail={"smb.session_id": "7", "smb.tree_id": "5"} | {f"smb.{key}": value for key, value in detail.items()},
    )


def session(at: float = 0) -> Iterator[Event]:
    login = command(at, "SMB2_COMMAND_SESSION_SETUP")
    login.user_name = "j.jansen"
    tree = command(at, "SMB2_COMMAND_TREE_CONNECT")
    tree.nsm_smb_share = "\\\\10.21.8.10\\leerlingen"
    yield from (login, tree)


def rename(at: float, number: int, extension: str = ".locked") -> Event:
    name = f"werk{number}.docx"
    return command(at, "SMB2_COMMAND_SET_INFO", rename_from=name, rename_to=name + extension)


def delete(at: float, number: int) -> Event:
    return command(at, file=f"werk{number}.docx", disposition="FILE_OPEN", access="delete on close")


def make(at: float, name: str, disposition: str = "FILE_CREATE") -> Event:
    return command(at, file=name, disposition=disposition)


def test_two_hundred_renames_are_told_with_user_share_and_extension() -> None:
    (signal,) = signals([*session(), *(rename(n, n) for n in range(200))])
    assert (signal.rule_id, signal.signal_severity) == ("D13", "Major")
    assert (signal.user_name, signal.nsm_smb_share) == ("j.jansen", "\\\\10.21.8.10\\leerlingen")
    assert (signal.nsm_detail or {})["new_extension"] == ".locked"
    assert "jansen" not in (signal.message or "")


def test_one_hundred_and_ninety_nine_are_not() -> None:
    assert found([*session(), *(rename(n, n) for n in range(199))]) == []


def test_nor_are_two_hundred_over_an_hour() -> None:
    assert found([*session(), *(rename(n * 18, n) for n in range(200))]) == []


def test_renaming_one_file_again_and_again_is_not() -> None:
    assert found([*session(), *(rename(n / 10, 1) for n in range(2000))]) == []


def test_a_failed_rename_does_not_count() -> None:
    events = [rename(n, n) for n in range(300)]
    for event in events:
        event.nsm_smb_status = "STATUS_ACCESS_DENIED"
    assert found(events) == []


def test_new_files_in_place_of_deleted_ones_are_an_attack() -> None:
    events = [one for n in range(200) for one in (make(n, f"werk{n}.docx.enc"), delete(n, n))]
    (signal,) = signals([*session(), *events])
    assert (signal.rule_id, signal.signal_severity) == ("D13", "Major")


def test_deleting_alone_is_medium() -> None:
    (signal,) = signals([*session(), *(delete(n, n) for n in range(250))])
    assert (signal.rule_id, signal.signal_severity, signal.signal_confidence) == ("D13", "Minor", "High")


def test_making_writing_and_reading_thousands_of_files_is_not() -> None:
    events = []
    for n in range(2000):
        events += [
            make(n / 10, f"f{n}"),
            command(n / 10, "SMB2_COMMAND_WRITE", f"f{n}"),
            command(n / 10, "SMB2_COMMAND_READ", f"f{n}"),
        ]
    assert found([*session(), *events]) == []


def test_a_sync_client_that_renames_its_temporary_files_is_not() -> None:
    events = []
    for n in range(600):
        temporary = f".werk{n}.docx.part"
        events += [
            make(n / 10, temporary, "FILE_OVERWRITE_IF"),
            command(n / 10, "SMB2_COMMAND_SET_INFO", rename_from=temporary, rename_to=f"werk{n}.docx"),
        ]
    assert found([*session(), *events]) == []


def test_two_users_with_half_each_are_not() -> None:
    second = [rename(n, n + 1000) for n in range(150)]
    for event in second:
        event.network_community_id, event.source_ip = "1:other", "10.21.0.24"
    assert found([*session(), *(rename(n, n) for n in range(150)), *second]) == []


def test_what_is_usual_at_this_hour_is_low_and_five_times_that_is_not() -> None:
    behaviour = Behaviour(BehaveSettings())
    for week in (-3, -2, -1):
        behaviour.judge([*session(week * 7 * DAY), *(rename(week * 7 * DAY + n, n) for n in range(250))])
    usual = behaviour.judge([rename(n, n) for n in range(260)])
    (low,) = [event for event in usual if event.rule_id]
    assert (low.signal_severity, low.signal_confidence) == ("Minor", "Low")
    far_more = behaviour.judge([rename(7 * DAY + n / 10, n) for n in range(2600)])
    assert [event.signal_severity for event in far_more if event.rule_id] == ["Minor", "Major"]


def test_five_times_a_small_usual_number_is_enough() -> None:
    behaviour = Behaviour(BehaveSettings())
    for week in (-3, -2, -1):
        behaviour.judge([rename(week * 7 * DAY + n, n) for n in range(22)])
    told = behaviour.judge([rename(n, n) for n in range(115)])
    assert [event.signal_severity for event in told if event.rule_id] == ["Major"]


def test_what_is_usual_in_lessons_says_nothing_about_holidays() -> None:
    behaviour = Behaviour(BehaveSettings())
    for week in (1, 2, 3):
        behaviour.judge([*session(week * 7 * DAY), *(rename(week * 7 * DAY + n, n) for n in range(250))])
    in_christmas_holidays = behaviour.judge([rename(28 * DAY + n, n) for n in range(260)])
    assert [event.signal_severity for event in in_christmas_holidays if event.rule_id] == ["Major"]
