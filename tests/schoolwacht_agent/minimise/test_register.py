from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.minimise.register import Entry, Register, read

PRIVATE = X25519PrivateKey.generate()
PUBLIC = PRIVATE.public_key().public_bytes_raw()


def register(directory: Path, *, public: bytes | None = PUBLIC, max_bytes: int = 1 << 20, keep: int = 24) -> Register:
    return Register(directory, public, max_bytes=max_bytes, keep=keep)


def test_what_is_noted_is_read_with_the_private_key_and_with_no_other(tmp_path: Path) -> None:
    made = register(tmp_path)
    made.note("202611", "p-202611-a", "jan")
    made.note("202611", "fd00::1", "10.0.0.1")
    made.flush()
    path = tmp_path / "202611.register"
    assert list(read(path, PRIVATE)) == [
        Entry("202611", "p-202611-a", "jan"),
        Entry("202611", "fd00::1", "10.0.0.1"),
    ]
    assert list(read(path, X25519PrivateKey.generate())) == []
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"jan" not in path.read_bytes()
    assert b"10.0.0.1" not in path.read_bytes()


def test_a_value_is_written_once_a_period_over_restarts_too(tmp_path: Path) -> None:
    for _ in range(3):
        made = register(tmp_path)
        for _ in range(3):
            made.note("202611", "p-202611-a", "jan")
            made.flush()
    assert len(list(read(tmp_path / "202611.register", PRIVATE))) == 1


def test_a_torn_line_costs_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "202611.register"
    for number in range(2):
        made = register(tmp_path)
        made.note("202611", f"p{number}", f"value {number}")
        made.note("202611", f"q{number}", f"other {number}")
        made.flush()
        path.write_bytes(path.read_bytes()[:-20])
    assert [entry.pseudonym for entry in read(path, PRIVATE)] == ["p0", "p1"]


def test_an_entry_cannot_be_moved_to_another_pseudonym_or_period(tmp_path: Path) -> None:
    made = register(tmp_path)
    made.note("202611", "p-a", "jan")
    made.flush()
    path = tmp_path / "202611.register"
    other = tmp_path / "202612.register"
    other.write_bytes(path.read_bytes())
    path.write_bytes(path.read_bytes().replace(b" p-a ", b" p-b "))
    assert list(read(path, PRIVATE)) == []
    assert list(read(other, PRIVATE)) == []


def test_it_is_bounded_and_counts_what_found_no_room(tmp_path: Path) -> None:
    made = register(tmp_path, max_bytes=400)
    for number in range(20):
        made.note("202611", f"p{number}", "x")
    made.flush()
    kept = len(list(read(tmp_path / "202611.register", PRIVATE)))
    assert 0 < kept < 20
    assert made.missed == 20 - kept


def test_only_the_newest_periods_are_kept(tmp_path: Path) -> None:
    made = register(tmp_path, keep=2)
    for period in ("202609", "202610", "202611"):
        made.note(period, "p", "x")
        made.flush()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["202610.register", "202611.register"]


def test_without_a_public_key_nothing_is_written(tmp_path: Path) -> None:
    made = register(tmp_path, public=None)
    made.note("202611", "p", "jan")
    made.flush()
    assert list(tmp_path.iterdir()) == []


def test_what_the_disk_refuses_is_written_when_it_works_again(tmp_path: Path) -> None:
    made = register(tmp_path / "register")
    made.note("202611", "p", "jan")
    (tmp_path / "register").rmdir()
    made.flush()
    (tmp_path / "register").mkdir()
    made.flush()
    assert [entry.value for entry in read(tmp_path / "register" / "202611.register", PRIVATE)] == ["jan"]


@given(st.binary(max_size=300))
def test_any_bytes_in_a_register_are_survived(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.mktemp("register") / "202611.register"
    path.write_bytes(b"K AAAA\nP 1 p q\n" + noise)
    assert list(read(path, PRIVATE)) == []
