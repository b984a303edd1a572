"""How long a capture is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_console.demo.span import begins_like_a_capture, seconds
from tests.parts import CAPTURES, program


@pytest.mark.parametrize(("kind", "unit"), [("pcap", 1e-6), ("nsecpcap", 1e-6), ("pcapng", 1e-6)])
def test_it_is_as_long_as_wireshark_says(tmp_path: Path, kind: str, unit: float) -> None:
    editcap, capinfos = program("editcap", "wireshark-common"), program("capinfos", "wireshark-common")
    copy = tmp_path / "copy"
    subprocess.run([editcap, "-F", kind, CAPTURES / "ssh-guessing.pcap", copy], check=True, capture_output=True)
    told = subprocess.run([capinfos, "-u", "-T", "-r", copy], check=True, capture_output=True, text=True).stdout
    assert seconds(copy) == pytest.approx(float(told.split("\t")[1]), abs=10 * unit)


def test_what_is_no_capture_has_no_length(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_bytes(b"hello, this is no capture")
    assert seconds(tmp_path / "empty") is None
    assert seconds(tmp_path / "text") is None


def test_what_begins_like_a_capture_is_told_from_what_does_not(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_bytes(b"hello, this is no capture")
    (tmp_path / "packed").write_bytes(zstandard.compress((CAPTURES / "ssh-guessing.pcap").read_bytes()))
    assert begins_like_a_capture(CAPTURES / "ssh-guessing.pcap")
    assert begins_like_a_capture(tmp_path / "packed")
    assert not begins_like_a_capture(tmp_path / "empty")
    assert not begins_like_a_capture(tmp_path / "text")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        seconds(tmp_path / "none")


@given(
    st.sampled_from([b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a"]),
    st.binary(max_size=400),
)
def test_any_bytes_end(tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes) -> None:
    path = tmp_path_factory.mktemp("span") / "any"
    path.write_bytes(start + rest)
    found = seconds(path)
    assert found is None or found >= 0
