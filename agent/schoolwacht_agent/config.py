"""The agent's settings (``agent.toml``): one frozen tree with defaults for an unattended small box.

Every setting has its one sentence of description here; docs/configuration.md is made from them. The agent's key is no
setting: it comes from the environment variable SCHOOLWACHT_AGENT_KEY or from ``uplink.key_file``.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field, structs

from schoolwacht import config as loader
from schoolwacht.errors import ConfigError
from schoolwacht_agent.behave import BehaveSettings
from schoolwacht_agent.evidence.settings import EvidenceTable
from schoolwacht_agent.minimise.settings import MinimiseTable, check_minimise
from schoolwacht_agent.standpoint.settings import StandpointTable, ZoneTable, check_zones

KEY_VARIABLE = "SCHOOLWACHT_AGENT_KEY"

#: RFC 1918, RFC 6598 (carrier-grade NAT), unique local, link local and loopback.
DEFAULT_HOME = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
)


class EngineName(StrEnum):
    """Who turns packets into events."""

    AUTO = "auto"
    BOTH = "both"
    SURICATA = "suricata"
    PACKETS = "packets"


class LogLevel(StrEnum):
    """How much the agent says on stderr."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class AgentTable(_Table, frozen=True):
    """``[agent]``: who this is and where it keeps things."""

    name: Annotated[
        str, Meta(pattern="^[a-z0-9-]{1,63}$", description="Name of this agent, as enrolled at the collector.")
    ]
    home: Annotated[
        tuple[str, ...],
        Meta(min_length=1, description="Networks of the school; what is not in them is the outside world."),
    ] = DEFAULT_HOME
    state: Annotated[
        str, Meta(min_length=1, description="Directory for the spool and everything else the agent keeps.")
    ] = "/var/lib/schoolwacht-agent"
    log: Annotated[LogLevel, Meta(description="How much is written to stderr.")] = LogLevel.INFO
    health_seconds: Annotated[
        int, Meta(ge=5, le=3600, description="Seconds between two health events; 60 lets blindness be seen in time.")
    ] = 60


class SuricataTable(_Table, frozen=True):
    """``[source.suricata]``: the engine for production."""

    binary: Annotated[str, Meta(min_length=1, description="Program to run, a name on the PATH or a path.")] = "suricata"
    eve: Annotated[
        str,
        Meta(description="EVE file of a Suricata that somebody else runs; empty: the agent runs Suricata itself."),
    ] = ""
    eve_from_start: Annotated[
        bool,
        Meta(description="Read that EVE file and its rotated ones from their start the first time, not from the end."),
    ] = False
    own_rules: Annotated[
        bool,
        Meta(
            description="Load Schoolwacht's own signatures (rules/suricata) before the files of source.suricata.rules."
        ),
    ] = True
    rules: Annotated[
        tuple[str, ...], Meta(description="Rule files that the agent's own Suricata loads too, in this order.")
    ] = ()
    domain_controllers: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses of the domain controllers, for the signatures of D11 and D12; "
            "empty: they are learnt from the Kerberos tickets that they hand out."
        ),
    ] = ()
    memory_mib: Annotated[
        int, Meta(ge=64, le=65536, description="Bound of Suricata's flow, stream and HTTP tables together, MiB.")
    ] = 256
    file_mib: Annotated[
        int,
        Meta(ge=1, le=1024, description="How far a connection is reassembled, MiB; a longer file gets no hash."),
    ] = 4
    threads: Annotated[int, Meta(ge=1, le=64, description="Threads that take packets from the interface.")] = 1
    ring_mib: Annotated[int, Meta(ge=1, le=4096, description="Size of each thread's receive ring, MiB.")] = 64
    rotate_mib: Annotated[
        int, Meta(ge=1, le=65536, description="Size at which the EVE file of the agent's own Suricata is rotated, MiB.")
    ] = 64
    alert_packets_mib: Annotated[
        int,
        Meta(
            ge=0, le=65536, description="Packets of flows with alerts, for evidence: size of their files, MiB; 0: none."
        ),
    ] = 64


#: Seconds of silence.
_Silence = Annotated[float, Meta(gt=0, le=86_400)]


class PacketsTable(_Table, frozen=True):
    """``[source.packets]``: the embedded engine.

    The time-outs are Suricata's, so that both engines cut traffic into the same flows.
    """

    promiscuous: Annotated[
        bool, Meta(description="Also take packets that are addressed to other machines (mirror port).")
    ] = True
    own_packets: Annotated[bool, Meta(description="Also take what this machine itself sends on the interface.")] = True
    ring_mib: Annotated[int, Meta(ge=2, le=4096, description="Size of the kernel's receive ring, MiB.")] = 32
    max_flows: Annotated[
        int,
        Meta(
            ge=1000,
            le=10_000_000,
            description="Flows held at once, about 1 kB each; beyond it the quietest are reported early.",
        ),
    ] = 50_000
    streams_mib: Annotated[
        int, Meta(ge=1, le=4096, description="Beginnings of TCP connections held until they can be understood, MiB.")
    ] = 16
    fragments_mib: Annotated[
        int, Meta(ge=1, le=4096, description="Fragments of IP packets held until the packet is complete, MiB.")
    ] = 4
    tcp_new_seconds: Annotated[
        _Silence, Meta(description="Silence that ends a TCP flow before its handshake is done, seconds.")
    ] = 60
    tcp_established_seconds: Annotated[_Silence, Meta(description="Silence that ends an open TCP flow, seconds.")] = 600
    tcp_closed_seconds: Annotated[
        _Silence, Meta(description="How long a closed TCP flow waits for late packets before it is reported, seconds.")
    ] = 60
    other_new_seconds: Annotated[
        _Silence, Meta(description="Silence that ends a flow of another protocol that had no answer yet, seconds.")
    ] = 30
    other_established_seconds: Annotated[
        _Silence, Meta(description="Silence that ends a flow of another protocol that was answered, seconds.")
    ] = 300
    longest_flow_seconds: Annotated[
        float,
        Meta(ge=0, description="A flow that goes on for longer is reported in parts of so many seconds; 0: never."),
    ] = 3600
    rare_per_second: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="Packets of rare protocols that scapy takes apart in a second; the rest is counted. 0: none.",
        ),
    ] = 20


class SourceTable(_Table, frozen=True):
    """``[source]``: where events come from."""

    engine: Annotated[
        EngineName,
        Meta(
            description="Which engine reads the packets; both is Suricata and beside it our own for what it does not "
            "give, auto the first of both, suricata and packets that can run."
        ),
    ] = EngineName.AUTO
    interface: Annotated[str, Meta(max_length=15, description="Network interface that sees the mirrored traffic.")] = ""
    filter: Annotated[
        str,
        Meta(description="Live: what to look at, as tcpdump takes it, such as not host 10.0.0.5; empty: everything."),
    ] = ""
    home: Annotated[
        tuple[str, ...], Meta(description="Networks that signatures know as HOME_NET; empty: those of agent.home.")
    ] = ()
    suricata: SuricataTable = SuricataTable()
    packets: PacketsTable = PacketsTable()


class SpoolTable(_Table, frozen=True):
    """``[spool]``: the durable queue."""

    max_bytes: Annotated[
        int,
        Meta(ge=16 << 20, description="Size on disk, bytes; when it is full the oldest events go, signals last."),
    ] = 2 << 30
    max_age_hours: Annotated[
        int, Meta(ge=1, le=24 * 366, description="Age in hours at which undelivered events are dropped.")
    ] = 24 * 30
    rejected_max_bytes: Annotated[
        int, Meta(ge=64 << 10, description="Size of the file of events that no collector takes, bytes.")
    ] = 16 << 20


class UplinkTable(_Table, frozen=True):
    """``[uplink]``: where events go."""

    collectors: Annotated[
        tuple[str, ...],
        Meta(description="Addresses of the collectors, most preferred first, such as https://collector.example:8443."),
    ] = ()
    key_file: Annotated[
        str, Meta(description="File with the agent's key, mode 600; a systemd credential is such a file.")
    ] = ""
    ca_file: Annotated[
        str, Meta(description="PEM file of the authority that signs the collectors; empty: the system's.")
    ] = ""
    client_certificate: Annotated[
        str, Meta(description="PEM file with the agent's own certificate, where collectors ask for one.")
    ] = ""
    client_key: Annotated[
        str, Meta(description="PEM file with the key of that certificate, without a password, mode 600.")
    ] = ""
    verify: Annotated[
        bool, Meta(description="Check the collector's certificate; switch it off only in a laboratory.")
    ] = True
    allow_plain_http: Annotated[
        bool, Meta(description="Also send to http:// addresses beyond this machine, in the clear.")
    ] = False
    batch_items: Annotated[int, Meta(ge=1, le=2000, description="Events in one batch at most.")] = 2000
    batch_bytes: Annotated[
        int, Meta(ge=64 << 10, le=7 << 20, description="Size of one batch before compression, bytes at most.")
    ] = 4 << 20
    connect_seconds: Annotated[
        float, Meta(gt=0, le=300, description="Seconds to wait for a connection before the next collector is tried.")
    ] = 5.0
    answer_seconds: Annotated[float, Meta(gt=0, le=3600, description="Seconds to wait for the answer to a batch.")] = (
        60.0
    )
    indicators_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Seconds between two questions for new indicators; 0: none are fetched, those at hand stay.",
        ),
    ] = 60.0
    backoff_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="Longest wait between two attempts, seconds; each wait is random below.")
    ] = 60.0


class Settings(_Table, frozen=True):
    """The whole file."""

    agent: AgentTable
    standpoint: StandpointTable = StandpointTable()
    zones: tuple[ZoneTable, ...] = ()
    source: SourceTable = SourceTable()
    behave: BehaveSettings = BehaveSettings()
    minimise: MinimiseTable = MinimiseTable()
    evidence: EvidenceTable = EvidenceTable()
    spool: SpoolTable = SpoolTable()
    uplink: UplinkTable = field(default_factory=UplinkTable)


def load(path: Path) -> Settings:
    """Read and check ``agent.toml``. Raises ConfigError naming the file and the setting."""
    settings = loader.load(path, Settings)
    try:
        check(settings)
    except ConfigError as error:
        raise ConfigError(error.message, path=str(path), field=error.field) from error
    if settings.source.home:
        return settings
    return structs.replace(settings, source=structs.replace(settings.source, home=settings.agent.home))


def check(settings: Settings) -> None:
    """What the types cannot say: networks are networks, collectors are safe URLs. Raises ConfigError."""
    networks = (
        ("agent.home", settings.agent.home),
        ("source.home", settings.source.home),
        ("source.suricata.domain_controllers", settings.source.suricata.domain_controllers),
    )
    for setting, values in networks:
        for place, network in enumerate(values):
            try:
                ip_network(network)
            except ValueError as error:
                raise ConfigError(f"no network: {error}", field=f"{setting}[{place}]") from error
    check_zones(settings.zones, settings.standpoint)
    check_minimise(settings.minimise)
    uplink = settings.uplink
    if bool(uplink.client_certificate) != bool(uplink.client_key):
        given, other = ("certificate", "key") if uplink.client_certificate else ("key", "certificate")
        raise ConfigError(f"is given without uplink.client_{other}", field=f"uplink.client_{given}")
    for place, url in enumerate(settings.uplink.collectors):
        _check_collector(url, f"uplink.collectors[{place}]", plain=settings.uplink.allow_plain_http)


def key(settings: Settings) -> str:
    """The agent's key, ``<agent name>.<secret>``. Raises ConfigError naming both ways to give it."""
    file = Path(settings.uplink.key_file) if settings.uplink.key_file else None
    value = loader.secret(KEY_VARIABLE, file=file, setting="uplink.key_file")
    if not value.isascii() or not value.isprintable() or " " in value or not value:
        raise ConfigError("the agent's key must be one line of visible ASCII characters", field="uplink.key_file")
    name, dot, _ = value.partition(".")
    if not dot:
        raise ConfigError(
            "no key of an agent: it is the agent's name, a dot and the secret, as `enrol` printed it",
            field="uplink.key_file",
        )
    if name != settings.agent.name:
        raise ConfigError(
            f"the key belongs to agent {name!r}, but agent.name is {settings.agent.name!r}", field="uplink.key_file"
        )
    return value


def _check_collector(url: str, setting: str, *, plain: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"no URL: {error}", field=setting) from error
    if parts.scheme not in {"https", "http"} or not host:
        raise ConfigError(f"{url!r} is no https:// address", field=setting)
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError("takes no user, query or fragment; the key goes into uplink.key_file", field=setting)
    if parts.scheme == "http" and not plain and not _is_loopback(host):
        raise ConfigError(
            f"{url!r} would send in the clear: use https://, or set uplink.allow_plain_http = true", field=setting
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
