from __future__ import annotations

import pytest

from schoolwacht_collector.indicators import warning
from tests.schoolwacht_collector.made import indicator


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        ("domain", "google.com", "alexa"),
        ("domain", "windowsupdate.com", None),
        ("address", "8.8.8.8", "public-dns-v4"),
        ("network", "8.8.8.0/24", "public-dns-v4"),
        ("network", "8.0.0.0/9", None),
        ("address", "2001:4860:4860::8888", "public-dns-v6"),
        ("certificate-sha256", "d8e0febc1db2e38d00940f37d27d41344d993e734b99d5656d9778d4d8143624", "mozilla-CA"),
    ],
)
def test_what_is_well_known_is_held(kind: str, value: str, name: str | None) -> None:
    held = warning.load().holds(indicator(kind, value))
    assert held is not None
    assert name in (None, held)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("domain", "evil.example"),
        ("domain", "evil.blogspot.com"),
        ("url", "google.com/evil.exe"),
        ("address", "203.0.113.66"),
        ("address", "2001:db8::66"),
        ("network", "203.0.113.0/24"),
        ("ja4", "t13d1516h2_8daaf6152771_e5627efa2ab1"),
        ("file-sha256", "ab" * 32),
        ("certificate-name", "asyncrat server"),
    ],
)
def test_what_no_list_holds_is_not(kind: str, value: str) -> None:
    assert warning.load().holds(indicator(kind, value)) is None


def test_a_domain_above_a_listed_name_is_held_and_a_public_suffix_never_makes_one() -> None:
    lists = warning.load()
    assert lists.holds(indicator("domain", "msftconnecttest.com")) is not None
    assert "co.uk" not in lists._names
    assert "com" not in lists._names
