"""Whether packets can be decoded on this machine: one packet through the whole of it, for ``doctor``."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from schoolwacht_agent.evidence.dissect import Decoded, Job
from schoolwacht_agent.evidence.packets import Packet, capture_file
from schoolwacht_agent.evidence.run import Failed, Run
from schoolwacht_agent.evidence.settings import EvidenceTable

#: A DNS query for example.org, Ethernet to payload (documentation addresses, RFC 5737).
_QUERY = bytes.fromhex(
    "020000000001020000000002080045000039000100004011000ac0000201c00002020400003500250000"
    "000101000001000000000000076578616d706c65036f72670000010001"
)


def try_decoding(table: EvidenceTable) -> tuple[Decoded, float]:
    """Decode one packet as evidence is decoded. Returns what came of it and the seconds it took. Raises Failed."""
    tshark = shutil.which(table.tshark)
    if tshark is None:
        raise Failed(f"{table.tshark} is not installed (Debian package tshark)")
    began = time.monotonic()
    job = Job(tshark, table.dissect_mib << 20, table.dissect_seconds, packets=1)
    with tempfile.TemporaryDirectory(prefix="schoolwacht-") as directory:
        # The account that decodes must be able to reach it.
        capture = capture_file([Packet(1, began, len(_QUERY), _QUERY)], 1)
        run = Run(Path(directory) / "work", job, Decoded, seconds=table.dissect_seconds, capture=capture)
        try:
            while not run.done():
                time.sleep(0.01)
            decoded = run.answer()
        finally:
            run.end()
    if not any(name == "dns" for packet in decoded.packets for name, _ in packet.layers):
        raise Failed(f"{tshark} did not decode a DNS query")
    return decoded, time.monotonic() - began
