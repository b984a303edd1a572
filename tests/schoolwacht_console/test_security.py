"""Which hosts, which origins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_console.security import comes_from_here, host_name, is_loopback


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("127.0.0.1:8480", "127.0.0.1"),
        ("localhost", "localhost"),
        ("[::1]:8480", "::1"),
        ("Console.Example.:80", "console.example"),
        ("", None),
        ("evil.example/127.0.0.1", None),
        ("user@127.0.0.1", None),
        ("127.0.0.1:port", None),
        ("[::1", None),
    ],
)
def test_the_host_header_is_read_as_name_and_port(header: str, name: str | None) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize("name", ["localhost", "console.localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback_names_mean_this_machine(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize("name", ["localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "10.0.0.1", "evil"])
def test_other_names_do_not(name: str) -> None:
    assert not is_loopback(name)


@given(st.text())
def test_any_header_is_read_without_a_fault(header: str) -> None:
    name = host_name(header)
    assert name is None or name


@pytest.mark.parametrize(
    ("fetch_site", "origin", "own"),
    [
        ("same-origin", None, True),
        ("same-origin", "null", True),
        (None, None, True),
        (None, "http://127.0.0.1:8480", True),
        ("cross-site", None, False),
        ("same-site", "http://127.0.0.1:8480", False),
        ("none", None, False),
        (None, "http://evil.example", False),
        (None, "http://127.0.0.1:9999", False),
        (None, "null", False),
    ],
)
def test_a_change_comes_from_our_page_or_from_no_browser(fetch_site: str | None, origin: str | None, own: bool) -> None:
    assert comes_from_here(fetch_site, origin, "127.0.0.1:8480") is own
