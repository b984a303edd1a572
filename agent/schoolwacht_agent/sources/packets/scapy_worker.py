"""The process that runs scapy: requests on standard input, answers on standard output, until the input ends.

It holds no secrets, opens nothing, and is bounded in memory; its parent ends it when it takes too long. Only the layers
named here are dissected. Requests and answers are MessagePack, each with its length (4 bytes, big-endian) before it:
``[task, packet]`` in, the answer of one of TASKS (or nil) out.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

_MEMORY_MAX = 512 << 20
_IPV4, _IPV6 = 0x0800, 0x86DD


def make_tasks() -> dict[str, Callable[[bytes], Any]]:
    """Load scapy and give what it is used for here: name → function of a packet."""
    import logging  # noqa: PLC0415 - only to silence scapy before it is loaded

    logging.getLogger("scapy").setLevel(logging.CRITICAL)
    from scapy.config import conf  # noqa: PLC0415 - half a second and 40 MB: in this process only, and when asked
    from scapy.layers import dot11, inet, inet6, l2, l2tp, ppi, ppp  # noqa: PLC0415 - the same

    # No layer behind these is dissected: not DHCP, not RADIUS, nothing that is known to loop.
    conf.layers.filter(
        [
            dot11.RadioTap, dot11.Dot11, dot11.Dot11FCS, dot11.Dot11QoS, ppi.PPI, l2.Dot3, l2.LLC, l2.SNAP,
            l2.Dot1AH, l2.Ether, l2.Dot1Q, l2.Dot1AD, ppp.PPP, ppp.HDLC, inet.IP, inet6.IPv6,
        ]
    )  # fmt: skip

    def unwrap(layer: type[Any]) -> Callable[[bytes], list[Any] | None]:
        def task(packet: bytes) -> list[Any] | None:
            dissected = layer(packet)
            for kind, inner in ((_IPV4, inet.IP), (_IPV6, inet6.IPv6)):
                found = dissected.getlayer(inner)
                if found is not None:
                    return [kind, bytes(found.original)]
            return None

        return task

    return {
        "802.11": unwrap(dot11.Dot11),
        "radiotap": unwrap(dot11.RadioTap),
        "ppi": unwrap(ppi.PPI),
        "802.1ah": unwrap(l2.Dot1AH),
        "l2tp": unwrap(l2tp.L2TP),
    }


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer requests until ``source`` ends. A packet that scapy cannot read is answered with nil."""
    tasks = make_tasks()
    # Says that scapy is loaded.
    _send(sink, None)
    decode = msgspec.msgpack.Decoder(tuple[str, bytes]).decode
    while len(header := source.read(4)) == 4:
        name, packet = decode(source.read(int.from_bytes(header)))
        try:
            answer = tasks[name](packet)
        except Exception:  # noqa: BLE001 - scapy raises whatever its layers run into; the next packet must be served
            answer = None
        _send(sink, answer)


def _send(sink: BinaryIO, answer: Any) -> None:
    data = msgspec.msgpack.encode(answer)
    sink.write(len(data).to_bytes(4) + data)
    sink.flush()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MAX, _MEMORY_MAX))
    serve(sys.stdin.buffer, sys.stdout.buffer)
