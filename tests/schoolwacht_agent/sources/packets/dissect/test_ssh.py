from __future__ import annotations

from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.packets.dissect.progress import MORE
from schoolwacht_agent.sources.packets.dissect.ssh import SshBanner, dissect_banner
from tests.schoolwacht_agent.sources.packets.dissect.recorded import to_port

ONE = to_port(2222)[0]


def banner(stream: bytes, *, final: bool = False) -> SshBanner:
    found = dissect_banner(stream, final=final)
    assert isinstance(found, SshBanner)
    return found


def offer(*lists: bytes) -> bytes:
    body = b"\x14" + bytes(16) + b"".join(len(one).to_bytes(4) + one for one in lists) + bytes(5)
    return (len(body) + 5).to_bytes(4) + b"\x04" + body + bytes(4)


def test_the_banners_of_real_programs_are_read() -> None:
    client, server = banner(ONE.up), banner(ONE.down)
    assert (client.protocol, server.protocol) == ("2.0", "2.0")
    assert client.software.startswith("OpenSSH_")
    assert server.comments is not None
    assert server.comments.endswith("toevoeging")
    assert " " not in server.software


def test_hassh_is_of_the_algorithms_for_the_own_direction() -> None:
    lists = [b"kex", b"key", b"cipher-c", b"cipher-s", b"mac-c", b"mac-s", b"zip-c", b"zip-s", b"", b""]
    found = banner(b"SSH-2.0-a\r\n" + offer(*lists))
    assert found.hassh == md5(b"kex;cipher-c;mac-c;zip-c").hexdigest()
    assert found.hassh_server == md5(b"kex;cipher-s;mac-s;zip-s").hexdigest()


@pytest.mark.parametrize("stream", [ONE.up, ONE.down])
def test_it_asks_for_more_until_the_offer_is_whole(stream: bytes) -> None:
    whole = banner(stream)
    assert whole.hassh is not None
    end = next(end for end in range(len(stream)) if dissect_banner(stream[:end]) is not MORE)
    assert dissect_banner(stream[:end]) == whole


def test_a_banner_alone_is_given_when_nothing_more_will_come() -> None:
    assert dissect_banner(b"SSH-2.0-x\r\n") is MORE
    assert banner(b"SSH-2.0-x\r\n", final=True) == SshBanner("2.0", "x")
    assert dissect_banner(b"SSH-2.0-x", final=True) is None


def test_an_offer_that_is_none_is_left_out() -> None:
    assert banner(b"SSH-1.99-x y z\r\n" + bytes(40)) == SshBanner("1.99", "x", "y z")
    broken = offer(b"kex")
    assert banner(b"SSH-2.0-x\n" + broken[:22] + b"\xff\xff\xff\xff" + broken[26:]).hassh is None


def test_a_server_may_say_other_lines_first() -> None:
    assert banner(b"Welkom\r\nbij ons\r\nSSH-2.0-x\r\n", final=True).software == "x"


@pytest.mark.parametrize(
    "stream", [b"HTTP/1.1 200\r\n\r\n", b"\x16\x03", b"SSH-2.0-" + b"a" * 400, b"SSH-\n", b"SSH-2.0-\n"]
)
def test_what_is_not_ssh_is_refused(stream: bytes) -> None:
    assert dissect_banner(stream) is None


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_or_refused(tail: bytes, final: bool) -> None:
    for stream in (tail, b"SSH-2.0-x\r\n" + tail, b"SSH-2.0-x\r\n\0\0\1\0\4\x14" + tail):
        found = dissect_banner(stream, final=final)
        assert found is not MORE or not final
