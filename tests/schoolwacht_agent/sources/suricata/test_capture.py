"""Capture files before they are played: what they are, and unpacked."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from schoolwacht.errors import CaptureError
from schoolwacht_agent.sources.suricata.capture import Unpacked, check_capture
from tests.parts import CAPTURES

REAL = CAPTURES / "web-and-dns.pcap"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello world, this is text and no capture", "is no capture"),
        (b"\x1f", "is no capture"),
        (bytes.fromhex("d4c3b2a1") + bytes(20), "holds no packets"),
        (bytes.fromhex("d4c3b2a1"), "holds no packets"),
    ],
)
def test_what_is_no_capture_is_said_and_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=reason) as caught:
        check_capture(path, named=Path("maandag.pcap"))
    assert caught.value.path == "maandag.pcap"


def test_real_captures_pass() -> None:
    check_capture(REAL, named=REAL)


@pytest.mark.parametrize("suffix", [".zst", ".gz"])
def test_a_compressed_capture_is_unpacked_by_its_content_not_its_name(tmp_path: Path, suffix: str) -> None:
    plain = REAL.read_bytes()
    packed = tmp_path / "maandag.pcap"
    half = len(plain) // 2
    # Two frames after one another: what appending to a compressed file makes.
    pack = zstandard.ZstdCompressor().compress if suffix == ".zst" else gzip.compress
    packed.write_bytes(pack(plain[:half]) + pack(plain[half:]))
    unpacked = Unpacked.of(packed, tmp_path)
    assert unpacked.path.read_bytes() == plain
    assert unpacked.fault is None


@pytest.mark.parametrize("suffix", [".zst", ".gz"])
def test_of_a_cut_off_compressed_capture_the_beginning_is_unpacked_and_the_fault_kept(
    tmp_path: Path, suffix: str
) -> None:
    plain = REAL.read_bytes() * 6  # several blocks of zstd
    packed = zstandard.ZstdCompressor().compress(plain) if suffix == ".zst" else gzip.compress(plain)
    path = tmp_path / "x.pcap"
    path.write_bytes(packed[:-20])
    unpacked = Unpacked.of(path, tmp_path)
    assert plain.startswith(unpacked.path.read_bytes())
    assert unpacked.path.stat().st_size > 0
    assert unpacked.fault is not None
    assert unpacked.fault.path == str(path)


def test_a_plain_capture_is_left_where_it_is(tmp_path: Path) -> None:
    assert Unpacked.of(REAL, tmp_path) == (REAL, None)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file") as caught:
        Unpacked.of(tmp_path / "nergens.pcap", tmp_path)
    assert caught.value.path == str(tmp_path / "nergens.pcap")


@pytest.mark.parametrize("suffix", [".zst", ".gz"])
def test_damaged_compression_is_told(tmp_path: Path, suffix: str) -> None:
    pack = zstandard.ZstdCompressor(write_checksum=True).compress if suffix == ".zst" else gzip.compress
    packed = bytearray(pack(REAL.read_bytes()))
    packed[len(packed) // 2 : len(packed) // 2 + 40] = bytes(40)
    path = tmp_path / "x.pcap"
    path.write_bytes(packed)
    fault = Unpacked.of(path, tmp_path).fault
    assert fault is not None
    assert "compression" in fault.message
