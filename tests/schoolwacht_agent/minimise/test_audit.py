from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.errors import UnmaskError
from schoolwacht_agent.minimise.audit import OPENED, Request, append, checked
from tests.schoolwacht_agent.minimise.made import NOW

KEY = bytes(32)
REQUEST = Request("2026-017", "an infected laptop", ["Jansen", "De Vries"], ["fd00::1"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "audit" / "unmask.jsonl"
    for outcome, key in ((OPENED, KEY), ("refused: wrong", None), (OPENED, KEY)):
        append(file, REQUEST, outcome, key, now=NOW)
    return file


def test_each_line_says_who_what_when_for_which_case_and_why(path: Path) -> None:
    lines = checked(path.read_bytes(), KEY, path="audit")
    assert [line.number for line in lines] == [1, 2, 3]
    assert [line.outcome for line in lines] == [OPENED, "refused: wrong", OPENED]
    assert lines[0].case == "2026-017"
    assert lines[0].officers == ["Jansen", "De Vries"]
    assert path.stat().st_mode & 0o777 == 0o600


@given(st.data())
def test_a_change_of_any_byte_shows(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = tmp_path_factory.mktemp("audit") / "unmask.jsonl"
    for _ in range(2):
        append(file, REQUEST, OPENED, KEY, now=NOW)
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 2))
    content[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(UnmaskError, match="broken"):
        checked(bytes(content), KEY, path="audit")


@pytest.mark.parametrize("number", [0, 1])
def test_a_line_that_is_taken_out_shows(path: Path, number: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[number]
    path.write_bytes(b"".join(lines))
    with pytest.raises(UnmaskError, match=rf"unmask\.jsonl:{number + 1}: the chain"):
        append(path, REQUEST, OPENED, None)


def test_who_forges_the_chain_anew_without_the_officers_key_is_found_out(tmp_path: Path) -> None:
    forged = tmp_path / "unmask.jsonl"
    append(forged, REQUEST._replace(reason="something else"), OPENED, b"\1" * 32)
    with pytest.raises(UnmaskError, match="broken"):
        append(forged, REQUEST, OPENED, KEY)
