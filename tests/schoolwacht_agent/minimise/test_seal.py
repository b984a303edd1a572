from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from schoolwacht.errors import UnmaskError
from schoolwacht_agent.minimise.seal import opened, read, sealed, write

WORDS = {"Jansen": "paard accu batterij", "De Vries": "nietje wolk fiets", "Bakker": "kaars molen regen"}
SEAL = sealed(WORDS, cost=1 << 4)


def some(*names: str) -> dict[str, str]:
    return {name: WORDS[name] for name in names}


@pytest.mark.parametrize("pair", list(itertools.permutations(WORDS, 2)))
def test_any_two_officers_open_it_in_either_order(pair: tuple[str, str]) -> None:
    assert opened(SEAL, some(*pair)).public_key().public_bytes_raw() == SEAL.register


@pytest.mark.parametrize(
    ("passphrases", "message"),
    [
        (some("Jansen"), "two officers"),
        (some("Jansen", "De Vries", "Bakker"), "two officers"),
        ({"Jansen": WORDS["Jansen"], "Smit": "x"}, "'Smit' is no officer"),
        ({"Jansen": WORDS["Jansen"], "De Vries": WORDS["Jansen"]}, "passphrases is wrong"),
        ({"Jansen": "", "De Vries": ""}, "passphrases is wrong"),
    ],
)
def test_nobody_else_opens_it(passphrases: dict[str, str], message: str) -> None:
    with pytest.raises(UnmaskError, match=message):
        opened(SEAL, passphrases)


@pytest.mark.parametrize(
    ("passphrases", "message"),
    [
        ({"Jansen": "paard accu batterij"}, "2 to 8"),
        ({"Jansen": "paard accu batterij", "De Vries": "kort"}, "De Vries has fewer"),
        ({"Jansen": "paard accu batterij", "De Vries": "paard accu batterij"}, "the same passphrase"),
    ],
)
def test_people_and_passphrases_that_will_not_do(passphrases: dict[str, str], message: str) -> None:
    with pytest.raises(UnmaskError, match=message):
        sealed(passphrases, cost=1 << 4)


def test_a_file_is_read_as_it_was_written_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "board.seal"
    write(path, SEAL)
    assert read(path) == SEAL
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write(path, SEAL)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1]"])
def test_a_file_that_is_no_seal_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "board.seal"
    path.write_bytes(content)
    with pytest.raises(UnmaskError, match=r"board\.seal"):
        read(path)
