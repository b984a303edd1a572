"""The registrable domain of a name."""

from __future__ import annotations

import pytest

from schoolwacht.domains import split


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("www.example.nl", ("example.nl", "www")),
        ("Example.NL.", ("example.nl", None)),
        ("a.b.example.co.uk", ("example.co.uk", "a.b")),
        ("co.uk", (None, None)),
        ("localhost", (None, None)),
        ("1.0.0.127.in-addr.arpa", (None, None)),
        ("", (None, None)),
    ],
)
def test_a_name_is_split_at_its_registrable_domain(name: str, parts: tuple[str | None, str | None]) -> None:
    assert split(name) == parts


@pytest.mark.parametrize("address", ["127.0.0.1", "203.0.113.66", "::ffff:203.0.113.66"])
def test_an_address_has_no_domain(address: str) -> None:
    assert split(address) == (None, None)
