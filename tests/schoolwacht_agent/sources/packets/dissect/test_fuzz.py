"""Real messages, damaged at random: no dissector raises, and none takes long (the suite's time limit sees to that).

``SCHOOLWACHT_FUZZ_SEED`` and ``SCHOOLWACHT_FUZZ_ROUNDS`` make a longer or another run; a failure names its input.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable

import pytest

from schoolwacht_agent.sources.packets.dissect.arp import dissect_arp
from schoolwacht_agent.sources.packets.dissect.certificate import read_certificate
from schoolwacht_agent.sources.packets.dissect.dhcp import dissect_dhcp
from schoolwacht_agent.sources.packets.dissect.dns import dissect_dns
from schoolwacht_agent.sources.packets.dissect.http import dissect_request, dissect_response
from schoolwacht_agent.sources.packets.dissect.snmp import dissect_snmp
from schoolwacht_agent.sources.packets.dissect.ssh import dissect_banner
from schoolwacht_agent.sources.packets.dissect.tls import dissect_handshake
from tests.schoolwacht_agent.sources.packets.dissect.recorded import (
    arp_payloads,
    conversations,
    dhcp_payloads,
    dns_payloads,
    to_port,
)
from tests.schoolwacht_agent.sources.packets.dissect.test_certificate import DER
from tests.schoolwacht_agent.sources.packets.dissect.test_snmp import GET, element, message

SEED = int(os.environ.get("SCHOOLWACHT_FUZZ_SEED", "1"))
ROUNDS = int(os.environ.get("SCHOOLWACHT_FUZZ_ROUNDS", "1500"))
#: Values that lengths, counts and types go wrong at.
EDGES = (0, 1, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)

TLS = [one for one in conversations() if 4431 <= one.server[1] <= 4437]
CASES: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
    "arp": (dissect_arp, arp_payloads()),
    "certificate": (read_certificate, [DER]),
    "dhcp": (dissect_dhcp, dhcp_payloads()),
    "dns": (dissect_dns, dns_payloads()),
    "request": (dissect_request, [one.up for one in to_port(8080)]),
    "response": (dissect_response, [one.down for one in to_port(8080)]),
    "snmp": (dissect_snmp, [GET, message(0, 0xA4, element(6, b"\x2b\x06"), width=2)]),
    "ssh": (dissect_banner, [to_port(2222)[0].up, to_port(2222)[0].down]),
    "tls client": (dissect_handshake, [one.up for one in TLS]),
    "tls server": (dissect_handshake, [one.down for one in TLS]),
}


def damaged(samples: list[bytes], rounds: int, rng: random.Random) -> Iterable[bytes]:
    """Samples with bytes changed, left out, doubled, cut off or joined to another sample."""
    for _ in range(rounds):
        data = bytearray(rng.choice(samples)[:4096])
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data)) if data else 0
            match rng.randrange(6):
                case 0 if data:
                    data[at] = rng.choice(EDGES)
                case 1 if data:
                    data[at] ^= 1 << rng.randrange(8)
                case 2:
                    del data[at : at + rng.randint(1, 16)]
                case 3:
                    data[at:at] = data[at : at + rng.randint(1, 64)]
                case 4:
                    del data[at:]
                case 5:
                    data[at:] = rng.choice(samples)[at : at + 512]
        yield bytes(data)


@pytest.mark.parametrize("name", CASES)
def test_damaged_messages_are_read_or_refused(name: str) -> None:
    dissect, samples = CASES[name]
    for data in damaged(samples, ROUNDS, random.Random(SEED)):
        try:
            dissect(data)
        except Exception as error:
            raise AssertionError(f"{name} raised {error!r} for {data.hex()}") from error
