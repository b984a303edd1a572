from __future__ import annotations

from pathlib import Path

import pytest

from schoolwacht.errors import UnmaskError
from schoolwacht.event import Dataset
from schoolwacht_agent.minimise import audit, seal
from schoolwacht_agent.minimise.register import Register
from schoolwacht_agent.minimise.unmask import Unmasked, pseudonym_in, unknown, unmask
from tests.schoolwacht_agent.minimise.made import CLIENT, event, step

WORDS = {"Jansen": "paard accu batterij", "De Vries": "nietje wolk fiets", "Bakker": "kaars molen regen"}
SEAL = seal.sealed(WORDS, cost=1 << 4)


def reveal(
    root: Path, *values: str, case: str = "2026-017", reason: str = "an infected laptop", **words: str
) -> Unmasked:
    if not (root / "board.seal").exists():
        seal.write(root / "board.seal", SEAL)
    return unmask(
        values,
        case=case,
        reason=reason,
        passphrases=words or {name: WORDS[name] for name in ("Jansen", "De Vries")},
        seal_file=root / "board.seal",
        registers=root / "register",
        audit_file=root / "unmask.jsonl",
    )


def shown(root: Path) -> list[str]:
    """The pseudonyms of a client, its machine and its user as an event shows them."""
    register = Register(root / "register", SEAL.register, max_bytes=1 << 20, keep=24)
    made = step(register=register)
    (one,) = made.through(
        [event(Dataset.SMB, user_name="SCHOOL\\Jan", source_mac="02-7E-57-1D-E4-A3", nsm_smtp_helo="PC-JAN")]
    )
    return [str(value) for value in (one.source_ip, one.user_name, one.source_mac, one.nsm_smtp_helo)]


def test_two_officers_turn_what_an_event_shows_back(tmp_path: Path) -> None:
    answer = reveal(tmp_path, *shown(tmp_path))
    assert [one.values for one in answer.found] == [
        [("202611", CLIENT)], [("202611", "jan")], [("202611", "02-7E-57-1D-E4-A3")], [("202611", "pc-jan")],
    ]  # fmt: skip
    assert unknown(answer.found) == []


def test_it_is_on_record_before_anything_is_shown_and_what_was_found_is_not(tmp_path: Path) -> None:
    answer = reveal(tmp_path, *shown(tmp_path))
    (line,) = audit.checked((tmp_path / "unmask.jsonl").read_bytes(), None, path="audit")
    assert line == answer.line
    assert (line.case, line.reason, line.officers) == ("2026-017", "an infected laptop", ["Jansen", "De Vries"])
    assert line.values == [one.pseudonym for one in answer.found]
    assert CLIENT.encode() not in (tmp_path / "unmask.jsonl").read_bytes()


def test_a_broken_audit_stops_it(tmp_path: Path) -> None:
    values = shown(tmp_path)
    reveal(tmp_path, *values)
    log = tmp_path / "unmask.jsonl"
    log.write_bytes(log.read_bytes().replace(b"2026-017", b"2026-018"))
    with pytest.raises(UnmaskError, match="broken"):
        reveal(tmp_path, *values)


def test_a_wrong_passphrase_reveals_nothing_and_is_on_record(tmp_path: Path) -> None:
    values = shown(tmp_path)
    with pytest.raises(UnmaskError, match="wrong"):
        reveal(tmp_path, *values, Jansen=WORDS["Jansen"], Bakker="paard accu batterij")
    (line,) = audit.checked((tmp_path / "unmask.jsonl").read_bytes(), None, path="audit")
    assert line.outcome.startswith("refused")
    assert line.officers == ["Jansen", "Bakker"]


@pytest.mark.parametrize(
    ("case", "reason", "message"), [(" ", "an infected laptop", "--case"), ("2026-017", "because", "--reason")]
)
def test_a_case_and_a_reason_are_required(tmp_path: Path, case: str, reason: str, message: str) -> None:
    with pytest.raises(UnmaskError, match=message):
        reveal(tmp_path, "fd00::1", case=case, reason=reason)
    assert not (tmp_path / "unmask.jsonl").exists()


def test_what_no_register_knows_is_said(tmp_path: Path) -> None:
    assert unknown(reveal(tmp_path, "fd00::1").found) == ["fd00::1"]


@pytest.mark.parametrize(
    ("text", "pseudonym"),
    [
        ("P-202611-ABCDEFGHIJKLMNOP", "p-202611-abcdefghijklmnop"),
        ("p-202611-abcdefghijklmnop@school.nl", "p-202611-abcdefghijklmnop"),
        ("\\\\fs1\\p-2026w48-abcdefghijklmnop", "p-2026w48-abcdefghijklmnop"),
        ("[FD00:0::1]", "fd00::1"),
        ("02:aa:bb:cc:dd:ee", "02-AA-BB-CC-DD-EE"),
    ],
)
def test_a_pseudonym_is_found_in_what_the_console_shows(text: str, pseudonym: str) -> None:
    assert pseudonym_in(text) == pseudonym


def test_what_is_no_pseudonym_is_refused() -> None:
    with pytest.raises(UnmaskError, match="no pseudonym"):
        pseudonym_in("jan")
