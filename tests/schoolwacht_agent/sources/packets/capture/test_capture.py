"""Capture files of every kind, whole and damaged: what can be read is read, and the fault names the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.errors import CaptureError
from schoolwacht_agent.sources.packets.capture import read_capture
from tests.parts import CAPTURES
from tests.schoolwacht_agent.sources.packets.made import START, enhanced, interface, pcap, section

WEB = CAPTURES / "web-and-dns.pcap"
FRAMES = [bytes([number]) * (60 + number) for number in range(20)]


class Read:
    """Everything that a file gives before it ends or fails."""

    def __init__(self, path: Path) -> None:
        self.dropped = 0
        self.times: list[float] = []
        self.frames: list[bytes] = []
        self.lengths: list[int] = []
        self.links: list[int] = []
        self.fault: CaptureError | None = None
        try:
            for batch in read_capture(path, self._drop):
                for seconds, wire, start, captured, tag in batch.records:
                    assert tag == 0
                    assert start + captured + 128 <= len(batch.buffer)
                    self.times.append(seconds)
                    self.lengths.append(wire)
                    self.frames.append(batch.buffer[start : start + captured])
                    self.links.append(batch.link)
        except CaptureError as fault:
            self.fault = fault

    def _drop(self, count: int) -> None:
        self.dropped += count


def read(tmp_path: Path, data: bytes) -> Read:
    path = tmp_path / "capture"
    path.write_bytes(data)
    found = Read(path)
    if found.fault is not None:
        assert str(path) in str(found.fault)
    return found


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"absent\.pcap.*cannot be read: No such file"):
        list(read_capture(tmp_path / "absent.pcap"))


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    assert "is empty" in str(read(tmp_path, b"").fault)


@pytest.mark.parametrize("data", [b"\x00", b"PK\x03\x04zip", b"\x7fELF" * 40, b'{"timestamp": "2026-01-01"}\n'])
def test_a_file_that_is_no_capture_says_so(tmp_path: Path, data: bytes) -> None:
    assert "is no capture" in str(read(tmp_path, data).fault)


def test_a_capture_without_packets_is_no_fault(tmp_path: Path) -> None:
    found = read(tmp_path, pcap([]))
    assert (found.frames, found.fault) == ([], None)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_compressed_capture_reads_like_a_plain_one(tmp_path: Path, compress: object) -> None:
    assert callable(compress)
    found = read(tmp_path, compress(WEB.read_bytes()))
    plain = Read(WEB)
    assert found.fault is None
    assert (found.frames, found.times, found.lengths) == (plain.frames, plain.times, plain.lengths)


def test_zstd_frames_one_after_the_other_are_one_capture(tmp_path: Path) -> None:
    data = pcap(FRAMES)
    found = read(tmp_path, zstandard.compress(data[:500]) + zstandard.compress(data[500:]))
    assert (found.frames, found.fault) == (FRAMES, None)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_compression_that_is_cut_off_gives_a_fault(tmp_path: Path, compress: object) -> None:
    assert callable(compress)
    data = compress(WEB.read_bytes())
    assert read(tmp_path, data[: len(data) // 2]).fault is not None


@pytest.mark.parametrize("magic", [b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd"])
def test_compression_that_is_damaged_gives_a_fault(tmp_path: Path, magic: bytes) -> None:
    assert read(tmp_path, magic + b"\xff" * 64).fault is not None


def test_a_zstd_frame_that_wants_a_huge_window_is_refused(tmp_path: Path) -> None:
    # Window descriptor 0xff: 3.75 TiB (RFC 8878 3.1.1.1.2).
    assert "compression" in str(read(tmp_path, b"\x28\xb5\x2f\xfd\x00\xff" + bytes(32)).fault)


def test_a_directory_is_named(tmp_path: Path) -> None:
    assert "cannot be read" in str(Read(tmp_path).fault)


@given(cut=st.integers(0, len(pcap(FRAMES))))
def test_of_a_pcap_that_is_cut_off_every_whole_packet_is_read(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    found = read(tmp_path_factory.mktemp("cut"), pcap(FRAMES)[:cut])
    ends = [24]
    for frame in FRAMES:
        ends.append(ends[-1] + 16 + len(frame))
    whole = sum(end <= cut for end in ends[1:])
    assert found.frames == FRAMES[:whole]
    assert (found.fault is None) == (cut in ends)


PCAPNG = section() + interface() + b"".join(enhanced(frame, (START * 10**6) + at) for at, frame in enumerate(FRAMES))


@given(cut=st.integers(0, len(PCAPNG)))
def test_of_a_pcapng_that_is_cut_off_every_whole_packet_is_read(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    found = read(tmp_path_factory.mktemp("cut"), PCAPNG[:cut])
    ends = [len(section()), len(section() + interface())]
    for frame in FRAMES:
        ends.append(ends[-1] + len(enhanced(frame, 0)))
    assert found.frames == FRAMES[: sum(end <= cut for end in ends[2:])]
    assert (found.fault is None) == (cut in ends)


@given(data=st.data())
def test_a_damaged_capture_gives_packets_and_a_fault_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(data.draw(st.sampled_from([pcap(FRAMES), pcap(FRAMES, order=">"), PCAPNG])))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = read(tmp_path_factory.mktemp("damaged"), bytes(whole))
    assert sum(map(len, found.frames)) <= len(whole)


def test_a_file_larger_than_a_piece_is_read_whole(tmp_path: Path) -> None:
    frames = [bytes([number % 256]) * (900 + number % 600) for number in range(3000)]
    found = read(tmp_path, pcap(frames))
    assert (found.frames, found.fault) == (frames, None)
    packets = b"".join(enhanced(frame, 0) for frame in frames)
    found = read(tmp_path, section() + interface() + packets)
    assert (found.frames, found.fault) == (frames, None)
