"""The configuration that the agent gives its own Suricata, from ``suricata.yaml.in`` and the agent's settings.

It logs what the project has events for and nothing else, with small memory bounds. Offline replay also takes up
connections whose beginning is missing (``stream.midstream``, ``async-oneside``): captures often start in the middle.
Live mode does not, because there the beginning is only missed for a moment, and a stray packet would open a flow.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from schoolwacht.errors import SourceError
from schoolwacht_agent.config import SuricataTable
from schoolwacht_agent.sources.suricata.indicators import CATEGORIES, REPUTATION

#: Packets of flows with alerts; Suricata puts a time behind the name, and writes round so many files.
ALERT_PACKETS = "alerts.pcap"
_ALERT_FILES = 4
_TEMPLATE = "suricata.yaml.in"
_NAME = re.compile(r"@([A-Z0-9_]+)@")
_VERSION = re.compile(r"Suricata version (\d+)\.(\d+)\.(\d+)")
_TLS_FIELDS = (
    "subject", "issuer", "serial", "fingerprint", "sni", "version", "not_before", "not_after", "session_resumed",
    "ja3", "ja3s", "ja4", "certificate",
)  # fmt: skip
#: Fields and record types that Suricata knows from version 8 on.
_TLS_FIELDS_8 = ("subjectaltname", "server_alpns")
_TYPES_8 = ("arp: {enabled: yes}",)
#: An address that no packet of a connection has: Suricata takes no empty group.
_NOBODY = "0.0.0.0/32"


class Version(NamedTuple):
    """A release of Suricata."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


OLDEST = Version(7, 0, 0)


def version_of(binary: str) -> Version:
    """The release of a Suricata program. Raises SourceError if it cannot be run or is older than :data:`OLDEST`."""
    try:
        # The path is the operator's setting; no shell is involved.
        done = subprocess.run([binary, "-V"], capture_output=True, text=True, check=False, timeout=30)  # noqa: S603
    except FileNotFoundError as error:
        raise SourceError(
            f"{binary} is not installed: install the package suricata (version 7 or 8), or set its path",
            field="source.suricata.binary",
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{binary} cannot be run: {reason}", field="source.suricata.binary") from error
    found = _VERSION.search(done.stdout)
    if found is None:
        raise SourceError(f"{binary} does not say that it is Suricata", field="source.suricata.binary")
    version = Version(*map(int, found.groups()))
    if version < OLDEST:
        raise SourceError(
            f"{binary} is Suricata {version}; version 7 or 8 is needed (on Debian 12 it is in backports)",
            field="source.suricata.binary",
        )
    return version


class Memory(NamedTuple):
    """How the bound of memory is divided, MiB. Beside these tables Suricata needs about 45 MiB, and its rules."""

    flow: int
    stream: int
    reassembly: int
    http: int


def divide(memory_mib: int) -> Memory:
    """A quarter each for flows and streams, three eighths for their reassembly, an eighth for HTTP."""
    return Memory(
        flow=max(16, memory_mib // 4),
        stream=max(16, memory_mib // 4),
        reassembly=max(16, memory_mib * 3 // 8),
        http=max(8, memory_mib // 8),
    )


def configuration(
    settings: SuricataTable,
    *,
    version: Version,
    directory: Path,
    home: Sequence[str],
    rules: Sequence[Path],
    interface: str | None = None,
    command: Path | None = None,
    reputation: bool = False,
    expression: str = "",
) -> str:
    """The text of ``suricata.yaml``.

    Args:
        settings: the agent's.
        version: of the Suricata that will read it.
        directory: where it writes ``eve.json``.
        home: the school's networks, CIDR.
        rules: files of signatures, absolute.
        interface: to capture from; None for the replay of a file.
        command: the socket on which it takes orders; None for none.
        reputation: whether ``directory`` has files of known bad addresses.
        expression: capture filter for the interface; empty takes everything.
    """
    newer = version.major >= 8
    memory = divide(settings.memory_mib)
    values = {
        "HOME_NET": _quoted(_group(home)),
        "CONTROLLERS": _quoted(_group(settings.domain_controllers) or _NOBODY),
        "COERCED": _quoted(_group(settings.domain_controllers) or "any"),
        "DIRECTORY": _quoted(str(directory)),
        "RULES": "[" + ", ".join(_quoted(str(path)) for path in rules) + "]",
        "TLS_FIELDS": "[" + ", ".join(_TLS_FIELDS + (_TLS_FIELDS_8 if newer else ())) + "]",
        "MORE_TYPES": "".join(f"        - {one}\n" for one in (_TYPES_8 if newer else ())),
        "COMMAND": "enabled: no" if command is None else f"enabled: yes\n  filename: {_quoted(str(command))}",
        "REPUTATION": _reputation(directory) if reputation else "",
        "CAPTURE": _capture(settings, interface, expression),
        "ALERT_PACKETS": _alert_packets(settings.alert_packets_mib if interface is not None else 0),
        "FLOW_MIB": str(memory.flow),
        "STREAM_MIB": str(memory.stream),
        "REASSEMBLY_MIB": str(memory.reassembly),
        "HTTP_MIB": str(memory.http),
        "FILE_MIB": str(settings.file_mib),
        "MIDSTREAM": "true" if interface is None else "false",
        # The same capture gives the same events.
        "RANDOM": "no" if interface is None else "yes",
    }
    template = files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    return _NAME.sub(lambda found: values[found[1]], template)


def _group(networks: Sequence[str]) -> str:
    """Addresses as Suricata writes a group of them; empty if there are none."""
    return "[" + ",".join(networks) + "]" if networks else ""


def _quoted(text: str) -> str:
    """Text as a YAML scalar: JSON's strings are such."""
    return json.dumps(text)


def _reputation(directory: Path) -> str:
    return "\n".join(
        (
            f"reputation-categories-file: {_quoted(str(directory / CATEGORIES))}",
            f"default-reputation-path: {_quoted(str(directory))}",
            f"reputation-files: [{_quoted(REPUTATION)}]",
        )
    )


def _alert_packets(mib: int) -> str:
    """The log of the packets of flows that have an alert, from what was held of them on."""
    if mib == 0:
        return ""
    return (
        f"  - pcap-log: {{enabled: yes, filename: {ALERT_PACKETS}, limit: {max(1, mib // _ALERT_FILES)}mb, "
        f"max-files: {_ALERT_FILES}, mode: normal, conditional: alerts}}\n"
    )


def _capture(settings: SuricataTable, interface: str | None, expression: str) -> str:
    if interface is None:
        return "pcap-file:\n  checksum-checks: no"
    return "\n".join(
        (
            "af-packet:",
            f"  - interface: {_quoted(interface)}",
            f"    threads: {settings.threads}",
            "    cluster-id: 99",
            "    cluster-type: cluster_flow",
            "    defrag: yes",
            "    use-mmap: yes",
            "    tpacket-v3: yes",
            f"    ring-size: {_ring_slots(settings.ring_mib, interface)}",
            "    block-size: 262144",
            "    block-timeout: 10",
            "    checksum-checks: kernel",
            *([f"    bpf-filter: {_quoted(expression)}"] if expression else []),
        )
    )


def _ring_slots(ring_mib: int, interface: str) -> int:
    """Packets in one thread's ring: Suricata reckons a slot by the MTU, and a large MTU must not multiply memory."""
    try:
        mtu = int(Path("/sys/class/net", interface, "mtu").read_text(encoding="ascii"))
    except (OSError, ValueError):
        mtu = 1500
    return max(1024, (ring_mib << 20) // (mtu + 256))
