"""The collector's settings: one frozen tree from ``collector.toml``, read and checked as a whole.

Promise: a tree that :func:`load` or :func:`check` returned can be used without looking again; every fault names the
file and the setting. Limits: secrets are no settings (:mod:`.secret`, and ``secret_file`` of a notifier).
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from schoolwacht import config as core
from schoolwacht.errors import ConfigError
from schoolwacht.wire import LIMITS
from schoolwacht_collector.expiry import RetentionSettings
from schoolwacht_collector.index.settings import ElasticsearchSettings, SqliteSettings
from schoolwacht_collector.indicators.settings import IndicatorSettings
from schoolwacht_collector.notify.webhook import WebhookSettings
from schoolwacht_collector.rulebook.settings import RulebookSettings
from schoolwacht_collector.rules.settings import RuleSettings
from schoolwacht_collector.tuning.settings import TriageSettings

_MIB = 1 << 20


class StoreName(StrEnum):
    """Which store keeps events, signals and records: a key of ``STORES``."""

    SQLITE = "sqlite"
    ELASTICSEARCH = "elasticsearch"


class CollectorSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[collector]``."""

    state: Annotated[
        str,
        Meta(min_length=1, description="Directory of the collector's secret, its dead letters and the SQLite store."),
    ] = "/var/lib/schoolwacht/collector"
    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9.-]{0,63}$",
            description="Name of this collector in logs and in the lease of the leader; the host's name if empty.",
        ),
    ] = ""


class IntakeSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[intake]``."""

    listen: Annotated[str, Meta(description="Address and port where agents deliver; port 0 takes a free one.")] = (
        "127.0.0.1:8443"
    )
    workers: Annotated[
        int,
        Meta(ge=1, le=64, description="Processes that take batches on that port; more than one needs Elasticsearch."),
    ] = 1
    certificate: Annotated[
        str,
        Meta(description="PEM file with the certificate for TLS, and those up to its authority; empty: plain HTTP."),
    ] = ""
    key: Annotated[str, Meta(description="PEM file with the key of that certificate, without a password.")] = ""
    client_ca: Annotated[
        str,
        Meta(
            description="PEM file of the authority that signs agents; then each shows a certificate with its name, "
            "besides its key. Empty: the key alone."
        ),
    ] = ""
    body_seconds: Annotated[
        float, Meta(gt=0, le=600, description="How long an agent may take to send one batch; then 408.")
    ] = 10.0
    idle_seconds: Annotated[
        float,
        Meta(
            gt=0, le=3600, description="How long a connection may be open without a whole request; then it is closed."
        ),
    ] = 10.0
    stop_seconds: Annotated[
        float, Meta(gt=0, le=600, description="How long a stop waits for batches that were taken to be stored.")
    ] = 30.0


class ConsoleSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[console]``."""

    enabled: Annotated[bool, Meta(description="Whether this collector serves the console.")] = True
    listen: Annotated[
        str, Meta(description="Address and port of the console; loopback only, for it has no login yet.")
    ] = "127.0.0.1:8480"
    public_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^/\s]+)?$",
            description="Address at which people reach the console, for the links in notifications; no links if empty.",
        ),
    ] = ""


class StoreSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[store]``."""

    kind: Annotated[StoreName, Meta(description="Which store is used.")] = StoreName.SQLITE
    sqlite: SqliteSettings = SqliteSettings()
    elasticsearch: ElasticsearchSettings = ElasticsearchSettings()


class MetricsSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[metrics]``."""

    listen: Annotated[
        str,
        Meta(description="Address and port where Prometheus reads /metrics, such as 127.0.0.1:8481; empty: nowhere."),
    ] = ""


class LimitSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[limits]``."""

    flight_bytes: Annotated[
        int, Meta(ge=4 * _MIB, description="Bytes of batches that are held at once, all agents together; then 429.")
    ] = 64 * _MIB
    agent_flight_bytes: Annotated[
        int, Meta(ge=LIMITS.frame, description="Bytes of batches of one agent that are held at once; then 429.")
    ] = 8 * _MIB
    agent_events_per_second: Annotated[
        int,
        Meta(
            ge=0,
            description="Events a second that one agent may deliver in the long run, a large one counts per KiB; then "
            "429. 0: no bound.",
        ),
    ] = 5000
    agent_burst_events: Annotated[
        int, Meta(ge=LIMITS.items, description="Events that an agent may deliver at once after a pause.")
    ] = 200_000
    prepared_events: Annotated[
        int,
        Meta(
            ge=LIMITS.items,
            description="Decoded events that wait for the store at once, a large one counts per KiB; others queue.",
        ),
    ] = 16_000
    wait_seconds: Annotated[
        float, Meta(gt=0, le=300, description="How long a batch waits for its turn; then 503 and the agent keeps it.")
    ] = 10.0
    future_seconds: Annotated[
        int, Meta(ge=0, description="An event further in the future than this gets the time of its arrival and a tag.")
    ] = 300
    past_days: Annotated[
        int, Meta(ge=0, description="An event older than this gets the time of its arrival and a tag; 0 takes any age.")
    ] = 14
    dead_letter_bytes: Annotated[
        int, Meta(ge=_MIB, description="Bytes of dead letters kept a day; beyond that they are counted, not kept.")
    ] = 256 * _MIB
    dead_letter_days: Annotated[int, Meta(ge=1, description="Days that dead letters are kept.")] = 30


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of ``collector.toml``."""

    collector: CollectorSettings = CollectorSettings()
    intake: IntakeSettings = IntakeSettings()
    console: ConsoleSettings = ConsoleSettings()
    store: StoreSettings = StoreSettings()
    metrics: MetricsSettings = MetricsSettings()
    notify: tuple[WebhookSettings, ...] = ()
    limits: LimitSettings = LimitSettings()
    retention: RetentionSettings = RetentionSettings()
    indicators: IndicatorSettings = IndicatorSettings()
    rules: RuleSettings = RuleSettings()
    triage: TriageSettings = TriageSettings()
    rulebook: RulebookSettings = RulebookSettings()

    @property
    def state(self) -> Path:
        """The state directory."""
        return Path(self.collector.state)

    @property
    def sqlite_directory(self) -> Path:
        """Where the SQLite store lies."""
        return Path(self.store.sqlite.directory) if self.store.sqlite.directory else self.state / "store"

    @property
    def rulebook_directory(self) -> Path:
        """Where rule books are kept."""
        return Path(self.rulebook.directory) if self.rulebook.directory else self.state / "rulebook"

    @property
    def dead_letters(self) -> Path:
        """Where rejected items are kept, a file a day."""
        return self.state / "dead-letters"


class Address(NamedTuple):
    """An address to listen on. Port 0 takes a free one."""

    host: str
    port: int


def load(path: Path) -> Settings:
    """Read and check ``path``. Raises ConfigError."""
    return check(core.load(path, Settings), path=str(path))


def local(state: Path, *, past_days: int = 0, notify: tuple[WebhookSettings, ...] = ()) -> Settings:
    """Settings of a collector inside another program: everything below ``state``, free ports on loopback, no quota.

    ``past_days`` 0 keeps the timestamps of old captures; nothing expires.
    """
    return Settings(
        collector=CollectorSettings(state=str(state)),
        intake=IntakeSettings(listen="127.0.0.1:0"),
        console=ConsoleSettings(listen="127.0.0.1:0"),
        notify=notify,
        limits=LimitSettings(past_days=past_days, agent_events_per_second=0),
        retention=RetentionSettings(events_days=0, summaries_days=0, signals_days=0),
    )


def check(settings: Settings, *, path: str = "configuration") -> Settings:
    """What no single setting can say: addresses, and settings that must fit each other. Raises ConfigError."""
    intake = address(settings.intake.listen, field="intake.listen", path=path)
    console = address(settings.console.listen, field="console.listen", path=path)
    _check_tls(settings.intake, path)
    if settings.intake.workers > 1 and settings.store.kind is StoreName.SQLITE:
        raise ConfigError(
            f"is {settings.intake.workers}, but SQLite has one writer for which workers would wait (others' batches up"
            ' to seconds): leave it at 1, or set store.kind = "elasticsearch"',
            path=path,
            field="intake.workers",
        )
    if settings.metrics.listen:
        address(settings.metrics.listen, field="metrics.listen", path=path)
    if not is_loopback(console.host):
        raise ConfigError(
            f"{console.host} can be reached from other machines, and the console has no login yet: listen on"
            " 127.0.0.1 and let a reverse proxy with a login, or an SSH tunnel, lead to it",
            path=path,
            field="console.listen",
        )
    if settings.console.enabled and intake == console and intake.port != 0:
        raise ConfigError(
            f"intake and console cannot share {console.host}:{console.port}", path=path, field="console.listen"
        )
    if settings.limits.agent_flight_bytes > settings.limits.flight_bytes:
        raise ConfigError(
            f"is {settings.limits.agent_flight_bytes}, more than limits.flight_bytes ({settings.limits.flight_bytes}),"
            " which all agents share",
            path=path,
            field="limits.agent_flight_bytes",
        )
    kept, taken = settings.retention.events_days, settings.limits.past_days
    if kept and taken and taken > kept:
        raise ConfigError(
            f"is {taken}, more than retention.events_days ({kept}): what came so late would be deleted at once",
            path=path,
            field="limits.past_days",
        )
    names = [target.name for target in settings.notify]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ConfigError(f"the name {name} occurs twice", path=path, field=f"notify[{place}].name")
    return settings


def _check_tls(intake: IntakeSettings, path: str) -> None:
    for name, needs in (("key", "certificate"), ("certificate", "key"), ("client_ca", "certificate")):
        if getattr(intake, name) and not getattr(intake, needs):
            raise ConfigError(f"is given without intake.{needs}", path=path, field=f"intake.{name}")


def address(text: str, *, field: str, path: str = "configuration") -> Address:
    """``host:port``, the host an address (IPv6 in brackets) or ``localhost``. Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigError(
            f'"{text}" is no address and port, such as "127.0.0.1:8443" or "[::1]:8443"', path=path, field=field
        )
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if bare != "localhost":
        try:
            version = ipaddress.ip_address(bare).version
        except ValueError as error:
            raise ConfigError(f'"{host}" is no IP address', path=path, field=field) from error
        if version == 6 and bare == host:
            raise ConfigError(f'write an IPv6 address in brackets: "[{host}]:{port}"', path=path, field=field)
    return Address(bare, int(port))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host`` (an address, or ``localhost``)."""
    return host == "localhost" or ipaddress.ip_address(host).is_loopback
