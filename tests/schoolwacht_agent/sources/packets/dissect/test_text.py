from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.packets.dissect.text import printable


def test_utf_8_stays_and_anything_else_is_escaped_byte_by_byte() -> None:
    assert printable("café".encode()) == "café"
    assert printable("café".encode() + b"\xff") == "caf\\xc3\\xa9\\xff"


@given(st.binary(max_size=100))
def test_any_bytes_are_text_that_can_be_encoded(raw: bytes) -> None:
    assert len(printable(raw).encode()) <= 4 * len(raw)
