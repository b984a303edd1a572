"""What one message costs each dissector, and its event: ``python -m tests.bench.dissect``.

Over the messages of real programs that the tests are made of. The last column is a ratio to scapy's dissection of the
same bytes where scapy has that layer: the peer that a Python program would use instead.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from schoolwacht_agent.sources.packets.dissect.arp import dissect_arp
from schoolwacht_agent.sources.packets.dissect.certificate import _read, read_certificate
from schoolwacht_agent.sources.packets.dissect.dhcp import dissect_dhcp
from schoolwacht_agent.sources.packets.dissect.dns import dissect_dns
from schoolwacht_agent.sources.packets.dissect.events import dns_event, tls_event
from schoolwacht_agent.sources.packets.dissect.fingerprint import _ja3, _ja4, ja3, ja4
from schoolwacht_agent.sources.packets.dissect.http import dissect_request, dissect_response
from schoolwacht_agent.sources.packets.dissect.ssh import dissect_banner
from schoolwacht_agent.sources.packets.dissect.tls import dissect_handshake
from schoolwacht_agent.sources.packets.report import Ends
from tests.schoolwacht_agent.sources.packets.dissect import recorded
from tests.schoolwacht_agent.sources.packets.dissect.test_certificate import DER

ENDS = Ends("192.0.2.10", 40000, "192.0.2.1", 443, 6)
SECONDS = 0.3


def cost(function: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    """Microseconds a call, the best of three runs."""
    best = float("inf")
    for _ in range(3):
        calls = 0
        begin = time.perf_counter()
        while (spent := time.perf_counter() - begin) < SECONDS:
            for one in inputs:
                function(one)
            calls += len(inputs)
        best = min(best, spent / calls * 1e6)
    return best


def main() -> None:
    """Print the table."""
    logging.getLogger("scapy").setLevel(logging.ERROR)
    from scapy.layers.dhcp import BOOTP  # noqa: PLC0415 - slow to load, and only this program wants it
    from scapy.layers.dns import DNS  # noqa: PLC0415 - as above
    from scapy.layers.l2 import ARP  # noqa: PLC0415 - as above

    streams = [one for one in recorded.conversations() if 4431 <= one.server[1] <= 4437]
    up, down = [one.up for one in streams], [one.down for one in streams]
    hellos = [found.client_hello for stream in up if (found := dissect_handshake(stream)) and found.client_hello]
    messages = [message for payload in recorded.dns_payloads() if (message := dissect_dns(payload))]
    handshakes = [(dissect_handshake(one.up), dissect_handshake(one.down)) for one in streams]
    ssh = recorded.to_port(2222)[0]
    http = recorded.to_port(8080)

    def uncached(hello: Any) -> None:
        _ja3.__wrapped__(hello.version, hello.ciphers, hello.extensions, hello.groups, hello.point_formats)
        _ja4.__wrapped__("t", 0x0304, hello.ciphers, hello.extensions, hello.signature_algorithms, "h2")

    def both(pair: Any) -> None:
        tls_event(0.0, ENDS, pair[0].client_hello, pair[1].server_hello, pair[1].certificate)

    rows: list[tuple[str, Callable[[Any], object], Sequence[Any], Callable[[bytes], object] | None]] = [
        ("DNS", dissect_dns, recorded.dns_payloads(), DNS),
        ("DNS event", lambda message: dns_event(0.0, ENDS, message), messages, None),
        ("TLS client", dissect_handshake, up, None),
        ("TLS server", dissect_handshake, down, None),
        ("certificate, seen before", read_certificate, [DER], None),
        ("certificate, new", _read, [DER], None),
        ("JA3 and JA4, seen before", lambda hello: (ja3(hello), ja4(hello)), hellos, None),
        ("JA3 and JA4, new", uncached, hellos, None),
        ("TLS event", both, handshakes, None),
        ("HTTP request", dissect_request, [one.up for one in http], None),
        ("HTTP response", dissect_response, [one.down for one in http], None),
        ("SSH banner and offer", dissect_banner, [ssh.up, ssh.down], None),
        ("DHCP", dissect_dhcp, recorded.dhcp_payloads(), BOOTP),
        ("ARP", dissect_arp, recorded.arp_payloads(), ARP),
        ("not TLS", dissect_handshake, [b"GET / HTTP/1.1\r\n\r\n"], None),
        ("not DNS", dissect_dns, [bytes(range(256))], None),
        ("not HTTP", dissect_request, [b"\x16\x03\x01" * 100], None),
    ]
    print(f"{'message':28}{'µs':>8}{'scapy ÷ ours':>16}")
    for name, function, inputs, peer in rows:
        ours = cost(function, inputs)
        ratio = f"{cost(peer, inputs) / ours:16.1f}" if peer is not None else ""
        print(f"{name:28}{ours:8.2f}{ratio}")


if __name__ == "__main__":
    main()
