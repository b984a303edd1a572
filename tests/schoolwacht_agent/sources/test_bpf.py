from __future__ import annotations

import pytest

from schoolwacht.errors import SourceError
from schoolwacht_agent.sources.both import RESTRICTED
from schoolwacht_agent.sources.bpf import INSTRUCTION, compile_filter, hindrance
from tests.parts import missing


@pytest.fixture(autouse=True)
def _libpcap() -> None:
    if (reason := hindrance()) is not None:
        missing(reason)


def test_a_filter_becomes_instructions_of_the_kernel() -> None:
    # ldh [12]; jeq #0x806; ret #262144; ret #0 (the classic example of pcap-filter).
    instructions = compile_filter("arp")
    assert len(instructions) == 4 * INSTRUCTION
    assert instructions[:8] == (0x28).to_bytes(2, "little") + b"\x00\x00" + (12).to_bytes(4, "little")


def test_frames_without_a_link_layer_have_a_program_of_their_own() -> None:
    assert compile_filter("tcp port 80", link=12) != compile_filter("tcp port 80")


def test_what_our_reader_looks_at_beside_suricata_is_a_filter() -> None:
    assert compile_filter(f"(not host 10.0.0.1) and ({RESTRICTED})")


@pytest.mark.parametrize("text", ["tcp and and udp", "tcp port", "host 10.0.0.256", "(", "\x00\udcff"])
def test_what_is_no_filter_is_told_in_libpcaps_words(text: str) -> None:
    with pytest.raises(SourceError, match=r"^source\.filter: .* is no capture filter: .+"):
        compile_filter(text)


def test_a_filter_that_would_take_minutes_to_compile_is_refused() -> None:
    with pytest.raises(SourceError, match=r"source\.filter: is longer"):
        compile_filter(" or ".join(f"host 10.{n >> 8}.{n & 255}.1" for n in range(3000)))
