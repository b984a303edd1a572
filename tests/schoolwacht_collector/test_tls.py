"""TLS of the intake with real certificates, over loopback."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from schoolwacht.errors import ConfigError
from schoolwacht_agent.config import UplinkTable
from schoolwacht_agent.uplink import open_session, post_frame, tls_context
from schoolwacht_collector.config import IntakeSettings, Settings, check
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.tls import ServerTls, names_of
from tests.schoolwacht_collector.certificates import Authority
from tests.schoolwacht_collector.serving import Served, batch, flow, serving


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def settings_of(authority: Authority, files: tuple[Path, Path], *, mutual: bool = False) -> IntakeSettings:
    return IntakeSettings(certificate=str(files[0]), key=str(files[1]), client_ca=str(authority.file) if mutual else "")


async def deliver_as(served: Served, key: str, settings: UplinkTable) -> tuple[bool, str]:
    """Whether a batch was taken from an agent's own uplink, and what was said."""
    async with open_session(settings, key, tls_context(settings)) as session:
        answer, _ = await post_frame(session, served.url, batch([flow()]), items=1)
    return answer.reply is not None, answer.said


async def test_an_agent_delivers_over_tls_1_3(tmp_path: Path, authority: Authority) -> None:
    tls = settings_of(authority, authority.issue("collector"))
    async with serving(MemoryStore(), tmp_path, intake=tls) as served:
        assert served.url.startswith("https://")
        taken, _ = await deliver_as(served, await served.enrolled(), UplinkTable(ca_file=str(authority.file)))
        assert taken


async def test_an_agent_does_not_deliver_to_a_collector_of_another_authority(
    tmp_path: Path, authority: Authority
) -> None:
    tls = settings_of(authority, authority.issue("collector"))
    stranger = Authority(tmp_path, "stranger")
    async with serving(MemoryStore(), tmp_path, intake=tls) as served:
        taken, said = await deliver_as(served, await served.enrolled(), UplinkTable(ca_file=str(stranger.file)))
        assert not taken
        assert "certificate" in said


@pytest.mark.parametrize(
    ("name", "names", "taken"), [("gateway-1", True, True), ("gateway-1", False, True), ("gateway-2", True, False)]
)
async def test_with_mutual_tls_the_certificate_is_that_of_the_key(
    tmp_path: Path, authority: Authority, name: str, names: bool, taken: bool
) -> None:
    tls = settings_of(authority, authority.issue("collector"), mutual=True)
    certificate, key = authority.issue(name, names=names)
    uplink = UplinkTable(ca_file=str(authority.file), client_certificate=str(certificate), client_key=str(key))
    async with serving(MemoryStore(), tmp_path, intake=tls) as served:
        assert (await deliver_as(served, await served.enrolled(), uplink))[0] is taken
        assert len(await served.rows()) == taken


@pytest.mark.parametrize("other", [False, True])
async def test_with_mutual_tls_nobody_gets_in_without_a_certificate_of_the_authority(
    tmp_path: Path, authority: Authority, other: bool
) -> None:
    tls = settings_of(authority, authority.issue("collector"), mutual=True)
    forged = Authority(tmp_path, "stranger").issue("gateway-1") if other else None
    async with serving(MemoryStore(), tmp_path, intake=tls) as served:
        key = await served.enrolled()
        with pytest.raises((aiohttp.ClientError, ssl.SSLError, OSError)):
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=authority.context(forged))) as session,
                session.post(f"{served.url}/v1/batches", headers={"Authorization": f"Bearer {key}"}, data=b""),
            ):
                pass


@pytest.mark.parametrize(
    ("version", "ciphers", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_3, "", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AES:!AESGCM:!AESCCM", False),
        (ssl.TLSVersion.TLSv1_2, "DHE+AESGCM:AES128-GCM-SHA256", False),
    ],
)
async def test_only_forward_secrecy_and_aead_are_offered(
    tmp_path: Path, authority: Authority, version: ssl.TLSVersion, ciphers: str, accepted: bool
) -> None:
    tls = settings_of(authority, authority.issue("collector"))
    context = authority.context()
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    async with serving(MemoryStore(), tmp_path, intake=tls) as served:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]), ssl=context)
        except (ssl.SSLError, ConnectionError):
            assert not accepted
        else:
            assert accepted
            writer.close()


async def test_a_handshake_that_never_comes_is_ended(tmp_path: Path, authority: Authority) -> None:
    tls = settings_of(authority, authority.issue("collector"))
    async with serving(MemoryStore(), tmp_path, intake=tls, idle_seconds=0.3) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()


async def test_a_reload_takes_up_a_new_certificate_and_keeps_the_old_one_if_the_new_is_broken(
    tmp_path: Path, authority: Authority
) -> None:
    files = authority.issue("first", file="collector")
    tls = ServerTls(settings_of(authority, files))

    async def shown() -> str:
        async def nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(nothing, "127.0.0.1", 0, ssl=tls.context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=authority.context())
            (name,) = names_of(writer.get_extra_info("peercert"))
            writer.close()
            return name

    assert await shown() == "first"
    authority.issue("second", file="collector")
    await asyncio.to_thread(tls.reload)
    assert await shown() == "second"
    authority.issue("third", file="other")
    files[1].write_bytes((tmp_path / "other.key").read_bytes())
    with pytest.raises(ConfigError, match=r"intake\.key"):
        await asyncio.to_thread(tls.reload)
    assert await shown() == "second"


def test_a_weak_certificate_stops_the_start(authority: Authority) -> None:
    weak = authority.issue("collector", key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    with pytest.raises(ConfigError, match="2048 bits: use ECDSA"):
        ServerTls(settings_of(authority, weak))


def test_an_encrypted_key_is_named_and_asks_nobody(authority: Authority) -> None:
    locked = authority.issue("collector", password=b"secret")
    with pytest.raises(ConfigError, match=r"intake\.key.*encrypted"):
        ServerTls(settings_of(authority, locked))


def test_a_key_of_another_certificate_is_named(authority: Authority) -> None:
    mine, other = authority.issue("collector"), authority.issue("other")
    with pytest.raises(ConfigError, match=r"other\.key.*collector\.pem"):
        ServerTls(settings_of(authority, (mine[0], other[1])))


@pytest.mark.parametrize("which", ["certificate", "client_ca"])
def test_a_file_that_is_no_certificate_is_named(tmp_path: Path, authority: Authority, which: str) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    settings = msgspec.structs.replace(
        settings_of(authority, authority.issue("collector"), mutual=True), **{which: str(broken)}
    )
    with pytest.raises(ConfigError, match=rf"intake\.{which}.*broken\.pem"):
        ServerTls(settings)


@pytest.mark.parametrize(
    "given", [{"certificate": "a.pem"}, {"key": "a.key"}, {"client_ca": "ca.pem"}], ids=lambda given: next(iter(given))
)
def test_half_of_the_settings_is_a_fault(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=rf"intake\.{next(iter(given))}.*without intake\."):
        check(Settings(intake=msgspec.structs.replace(IntakeSettings(), **given)))


def test_a_certificate_that_lists_names_has_no_other() -> None:
    subject = ((("commonName", "gateway-1"),),)
    assert names_of({"subject": subject}) == {"gateway-1"}
    assert names_of({"subject": subject, "subjectAltName": (("DNS", "gateway-2"),)}) == {"gateway-2"}
    assert names_of({}) == frozenset()


def test_an_agents_key_that_does_not_fit_is_named(authority: Authority) -> None:
    mine = authority.issue("gateway-1", key=ec.generate_private_key(ec.SECP256R1()))
    other = authority.issue("gateway-2")
    with pytest.raises(ConfigError, match=r"gateway-2\.key.*uplink\.client_key"):
        tls_context(UplinkTable(client_certificate=str(mine[0]), client_key=str(other[1])))
