from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.errors import IndicatorError
from schoolwacht.indicators import IndicatorType as Type
from schoolwacht_collector.match.values import guess_type, normalise

JA4 = "t13d1516h2_8daaf6152771_e5627efa2ab1"


@pytest.mark.parametrize(
    ("written", "kind", "normal"),
    [
        ("185.220.101.5", Type.ADDRESS, "185.220.101.5"),
        ("185[.]220[.]101(.)5", Type.ADDRESS, "185.220.101.5"),
        ("::ffff:185.220.101.5", Type.ADDRESS, "185.220.101.5"),
        ("2A00:1450:0000::0001", Type.ADDRESS, "2a00:1450::1"),
        ("203.0.113.9", Type.ADDRESS, "203.0.113.9"),
        ("185.220.101.77/24", Type.NETWORK, "185.220.101.0/24"),
        ("2a00:1450:1::/32", Type.NETWORK, "2a00:1450::/32"),
        ("::ffff:185.220.101.0/120", Type.NETWORK, "185.220.101.0/24"),
        ("EVIL.example.", Type.DOMAIN, "evil.example"),
        ("evil[.]example", Type.DOMAIN, "evil.example"),
        ("evil[dot]example", Type.DOMAIN, "evil.example"),
        ("hxxps://evil[.]example/", Type.DOMAIN, "evil.example"),
        ("hxxp[:]//evil.example", Type.DOMAIN, "evil.example"),
        ("*.evil.example", Type.DOMAIN, "evil.example"),
        ("bücher.example", Type.DOMAIN, "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", Type.DOMAIN, "xn--bcher-kva.example"),
        ("_dmarc.evil.example", Type.DOMAIN, "_dmarc.evil.example"),
        ("e7d705a3286e19ea42f587b344ee6865", Type.JA3, "e7d705a3286e19ea42f587b344ee6865"),
        ("AA:" * 19 + "AA", Type.CERTIFICATE_SHA1, "aa" * 20),
        ("Ab" * 32, Type.CERTIFICATE_SHA256, "ab" * 32),
        (JA4.upper(), Type.JA4, JA4),
    ],
)
def test_a_value_is_recognised_and_made_normal(written: str, kind: Type, normal: str) -> None:
    assert guess_type(written) is kind
    assert normalise(kind, written) == normal
    assert normalise(kind, normal) == normal


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (Type.ADDRESS, "10.0.0.1", "private addresses"),
        (Type.ADDRESS, "127.0.0.1", "loopback addresses"),
        (Type.ADDRESS, "169.254.1.1", "link-local addresses"),
        (Type.ADDRESS, "224.0.0.251", "multicast addresses"),
        (Type.ADDRESS, "255.255.255.255", "reserved addresses"),
        (Type.ADDRESS, "0.0.0.0", "unspecified addresses"),
        (Type.ADDRESS, "::ffff:192.168.1.1", "private addresses"),
        (Type.ADDRESS, "fe80::1", "not within 2000::/3"),
        (Type.ADDRESS, "fe80::1%eth0", "link-local address"),
        (Type.ADDRESS, "::1", "not within 2000::/3"),
        (Type.ADDRESS, "ff02::fb", "not within 2000::/3"),
        (Type.ADDRESS, "evil.example", "no IP address"),
        (Type.NETWORK, "0.0.0.0/0", "widest taken is /8"),
        (Type.NETWORK, "::/0", "widest taken is /24"),
        (Type.NETWORK, "184.0.0.0/7", "widest taken is /8"),
        (Type.NETWORK, "2a00::/15", "widest taken is /24"),
        (Type.NETWORK, "2001::/16", "2001::/16 holds too much of the Internet"),
        (Type.NETWORK, "2a02::/23", "widest taken is /24"),
        (Type.NETWORK, "192.0.0.0/8", r"reserved addresses \(192.0.0.0/24\)"),
        (Type.NETWORK, "172.0.0.0/8", "private addresses"),
        (Type.NETWORK, "185.220.101.0/33", "no network"),
        (Type.DOMAIN, "nl", "public suffix"),
        (Type.DOMAIN, "co.uk", "public suffix"),
        (Type.DOMAIN, "*.github.io", "public suffix"),
        (Type.DOMAIN, "localhost", "public suffix"),
        (Type.DOMAIN, "1.0.10.in-addr.arpa", "public suffix"),
        (Type.DOMAIN, "evil.example/login", "is a URL"),
        (Type.DOMAIN, "185.220.101.5", "give it the type address"),
        (Type.DOMAIN, "evil..example", "no domain name"),
        (Type.DOMAIN, f"{'a' * 64}.example", "no domain name"),
        (Type.DOMAIN, ".".join(["abcdefg"] * 40), "longer than a domain name"),
        (Type.DOMAIN, "evil example.nl", "no domain name"),
        (Type.URL, "ftp://evil.example/a", "only HTTP"),
        (Type.URL, "gopher://evil.example/a", "only HTTP"),
        (Type.URL, "http://10.0.0.1/a", "private addresses"),
        (Type.URL, "http://intranet/a", "no host of the Internet"),
        (Type.URL, "http://evil.example:99999/a", "has no port"),
        (Type.URL, f"http://evil.example/{'a' * 300}", "longer than"),
        (Type.FILE_MD5, "d41d8cd98f00b204e9800998ecf8427e", "of nothing"),
        (Type.FILE_SHA256, "abc", "64 hexadecimal digits"),
        (Type.JA3, "d41d8cd98f00b204e9800998ecf8427e", "of nothing"),
        (Type.JA3, "0" * 32, "of nothing"),
        (Type.JA3, "abc", "32 hexadecimal digits"),
        (Type.JA4, "t13", "no JA4"),
        (Type.CERTIFICATE_SHA1, "da39a3ee5e6b4b0d3255bfef95601890afd80709", "of nothing"),
        (Type.CERTIFICATE_SHA256, "xyz", "64 hexadecimal digits"),
        (Type.CERTIFICATE_NAME, "*.nl", "wildcard stands for"),
        (Type.CERTIFICATE_NAME, "*.co.uk", "public suffix"),
        (Type.CERTIFICATE_NAME, "localhost", "many harmless certificates"),
        (Type.CERTIFICATE_NAME, "a*b c", "wildcard stands for"),
    ],
)
def test_what_would_do_harm_or_is_none_is_refused_with_the_reason(kind: Type, value: str, reason: str) -> None:
    with pytest.raises(IndicatorError, match=reason):
        normalise(kind, value)


def test_what_stands_before_a_backslash_is_the_host_of_a_url() -> None:
    assert normalise(Type.URL, "http://evil.example\\@good.example/") == "evil.example/@good.example/"


@pytest.mark.parametrize("value", ["word", "1.2.3", "123", "", "abcdef"])
def test_a_value_without_a_known_form_needs_a_type(value: str) -> None:
    with pytest.raises(IndicatorError):
        normalise(guess_type(value), value)


@given(st.sampled_from(list(Type)), st.text(max_size=80))
def test_any_text_is_made_normal_for_good_or_refused(kind: Type, text: str) -> None:
    try:
        normal = normalise(kind, text)
    except IndicatorError:
        return
    assert normalise(kind, normal) == normal
    assert normal.isprintable()


@given(st.text(max_size=80))
def test_any_text_has_a_type_or_is_refused(text: str) -> None:
    with contextlib.suppress(IndicatorError):
        assert isinstance(guess_type(text), Type)
