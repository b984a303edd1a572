"""The decoding process: the real tshark through pyshark, and programs in its place that do what they must not."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schoolwacht_agent.evidence.dissect import Decoded, Described
from schoolwacht_agent.evidence.run import Failed, Run
from tests.parts import CAPTURES
from tests.schoolwacht_agent.evidence.standin import (
    MEMORY,
    answer,
    gone,
    job,
    name_of,
    processes_of,
    real_tshark,
    resident,
    stand_in,
)
from tests.schoolwacht_agent.sources.packets.made import ethernet, ipv4, pcap, udp


def decoding(tmp_path: Path, tshark: Path, capture: bytes, *, seconds: float = 15.0, cpu: int = 5) -> Run[Decoded]:
    return Run(tmp_path / "work", job(tshark, cpu=cpu), Decoded, seconds=seconds, capture=capture)


def small() -> bytes:
    return pcap([ethernet(ipv4(udp(b"hello")))] * 3)


def test_real_packets_are_decoded_layer_by_layer(tmp_path: Path) -> None:
    capture = (CAPTURES / "web-and-dns.pcap").read_bytes()
    decoded = answer(decoding(tmp_path, real_tshark(), capture))
    assert decoded.fault == ""
    assert len(decoded.packets) > 3
    shown = {name: value for packet in decoded.packets for _, fields in packet.layers for name, value in fields}
    assert shown["ip.version"] == "4"
    assert "dns.qry.name" in shown
    assert not (tmp_path / "work").exists(), "nothing is left but the answer"


def test_no_more_packets_are_decoded_than_were_asked_for(tmp_path: Path) -> None:
    capture = (CAPTURES / "web-and-dns.pcap").read_bytes()
    run = Run(tmp_path / "work", job(real_tshark(), packets=2), Decoded, seconds=15, capture=capture)
    assert len(answer(run).packets) == 2


def test_tshark_tells_the_type_and_the_values_of_fields(tmp_path: Path) -> None:
    names = frozenset({"dns.qry.type", "tcp.flags.syn", "ip.src", "no.such.field"})
    fields = answer(Run(tmp_path / "work", job(real_tshark(), names=names), Described, seconds=30)).fields
    assert set(fields) == names - {"no.such.field"}
    assert fields["ip.src"].type == "FT_IPv4"
    assert (fields["dns.qry.type"].label, fields["dns.qry.type"].values["28"]) == ("Type", "AAAA (IPv6 Address)")
    assert fields["tcp.flags.syn"].values == {"1": "Set", "0": "Not set"}


def test_a_truncated_capture_gives_its_packets_and_its_fault(tmp_path: Path) -> None:
    decoded = answer(decoding(tmp_path, real_tshark(), small()[:-10]))
    assert len(decoded.packets) == 2
    assert decoded.fault


@pytest.mark.parametrize("capture", [b"no capture at all", small()[:20], b"\xff" * 5000], ids=["text", "head", "ff"])
def test_what_is_no_capture_is_a_fault_and_no_failure(tmp_path: Path, capture: bytes) -> None:
    decoded = answer(decoding(tmp_path, real_tshark(), capture))
    assert (decoded.packets, bool(decoded.fault)) == ([], True)


def dhcp_loop() -> bytes:
    # A DHCP message whose options are of length 0 over and over: scapy's option walk does not get on.
    body = bytes.fromhex("0101060000000001") + bytes(228) + bytes.fromhex("63825363") + b"\x37\x00" * 600 + b"\xff"
    return ethernet(ipv4(udp(body, source=68, destination=67)))


def radius_loop() -> bytes:
    # A RADIUS request with attributes of length 0 and 1, which an attribute walk never leaves.
    body = b"\x01\x01" + (20 + 400).to_bytes(2) + bytes(16) + b"\x01\x00\x1a\x01" * 100
    return ethernet(ipv4(udp(body, source=1645, destination=1812)))


def dns_loop() -> bytes:
    # Names that point at themselves and at each other.
    body = bytes.fromhex("000101000001000100000000") + b"\xc0\x0c\x00\x01\x00\x01" + b"\xc0\x14\xc0\x12" * 200
    return ethernet(ipv4(udp(body, source=5353, destination=53)))


def test_packets_that_loop_dissectors_are_decoded_and_the_next_capture_is_served(tmp_path: Path) -> None:
    frames = [dhcp_loop(), radius_loop(), dns_loop()] * 5
    run = decoding(tmp_path, real_tshark(), pcap(frames))
    assert len(answer(run).packets) == 15
    assert gone(run.pid)
    assert len(answer(decoding(tmp_path, real_tshark(), small())).packets) == 3


def test_a_decoding_that_hangs_is_ended_with_all_its_children(tmp_path: Path, outside: Path) -> None:
    tshark = stand_in(outside, "sleep 600 & sleep 600")
    run = decoding(tmp_path, tshark, small(), seconds=2.0)
    with pytest.raises(Failed, match="took more than 2 s"):
        answer(run)
    assert gone(run.pid)


def test_a_decoding_that_ignores_being_asked_to_end_is_ended(tmp_path: Path, outside: Path) -> None:
    tshark = stand_in(outside, "trap '' TERM INT HUP PIPE\nwhile :; do sleep 1; done")
    run = decoding(tmp_path, tshark, small(), seconds=1.5)
    with pytest.raises(Failed, match="took more than"):
        answer(run)
    assert gone(run.pid)


def test_a_decoding_that_spins_is_ended_by_its_processor_time(tmp_path: Path, outside: Path) -> None:
    tshark = stand_in(outside, "while :; do :; done")
    run = decoding(tmp_path, tshark, small(), seconds=60.0, cpu=1)
    with pytest.raises(Failed) as failed:
        answer(run)
    assert f"signal {signal.SIGKILL.value}" in failed.value.words or "signal 24" in failed.value.words
    assert gone(run.pid)


def test_a_tshark_that_crashes_after_its_answer_is_no_success(tmp_path: Path, outside: Path) -> None:
    tshark = stand_in(outside, f'{real_tshark()} "$@"\nkill -SEGV $$')
    with pytest.raises(Failed) as failed:
        answer(decoding(tmp_path, tshark, small()))
    assert f"signal {signal.SIGSEGV.value}" in failed.value.words


def test_a_tshark_that_takes_memory_without_end_does_not_get_it(tmp_path: Path, outside: Path) -> None:
    tshark = stand_in(outside, "x=aaaaaaaaaaaaaaaa\nwhile :; do x=$x$x; done")
    run = decoding(tmp_path, tshark, small(), seconds=30.0)
    most = 0
    while not run.done():
        most = max(most, *(resident(pid) for pid in processes_of(run.pid)), 0)
        time.sleep(0.005)
    with pytest.raises(Failed, match="exit code"):
        run.answer()
    assert most <= MEMORY
    assert gone(run.pid)


def test_a_tshark_that_makes_processes_without_end_is_stopped(tmp_path: Path, outside: Path) -> None:
    tshark = stand_in(outside, "i=0\nwhile [ $i -lt 300 ]; do sleep 300 & i=$((i+1)); done\nwait")
    run = decoding(tmp_path, tshark, small(), seconds=4.0)
    most = 0
    while not run.done():
        most = max(most, len(processes_of(run.pid)))
        time.sleep(0.05)
    with pytest.raises(Failed):
        run.answer()
    assert most <= 70
    assert gone(run.pid)


def test_a_tshark_that_writes_without_end_fills_no_memory_and_no_disk(tmp_path: Path, outside: Path) -> None:
    tshark = stand_in(outside, "yes '<packet><proto name=\"geninfo\"/>'")
    run = decoding(tmp_path, tshark, small(), seconds=20.0, cpu=1)
    with pytest.raises(Failed):
        answer(run)
    assert gone(run.pid)


def test_words_of_the_program_are_told_apart_from_the_reason(tmp_path: Path, outside: Path) -> None:
    tshark = outside / "none"
    with pytest.raises(Failed, match="exit code 1") as failed:
        answer(decoding(tmp_path, tshark, small()))
    assert "none" in failed.value.words
    assert "none" not in str(failed.value)


def test_nothing_of_the_agents_environment_reaches_it(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOOLWACHT_AGENT_KEY", "gw.secret-of-the-agent")
    tshark = stand_in(outside, "sleep 600")
    run = decoding(tmp_path, tshark, small(), seconds=30.0)
    until = time.monotonic() + 10
    while len(processes_of(run.pid)) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    environments = [Path(f"/proc/{pid}/environ") for pid in processes_of(run.pid)]
    assert len(environments) >= 3
    assert not any(b"secret-of-the-agent" in path.read_bytes() for path in environments)
    run.end()


_PARENT = """
import sys, time
from pathlib import Path
from schoolwacht_agent.evidence.dissect import Decoded, Job
from schoolwacht_agent.evidence.run import Run
work, tshark, capture = map(Path, sys.argv[1:])
job = Job(str(tshark), 256 << 20, 60, packets=9)
run = Run(work, job, Decoded, seconds=600, capture=capture.read_bytes())
print(run.pid, flush=True)
time.sleep(600)
"""


#: Runs a command without capabilities where no namespace can be made: as in many a container.
_CONFINED = (
    "unshare", "--user", "--map-root-user", "sh", "-c",
    'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all -- "$@"', "sh",
)  # fmt: skip


@pytest.mark.parametrize("confined", [False, True], ids=["with-namespaces", "without-namespaces"])
def test_a_killed_agent_leaves_no_decoding_behind(tmp_path: Path, outside: Path, confined: bool) -> None:
    if confined and subprocess.run([*_CONFINED, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine allows no user namespace in which to forbid namespaces")
    capture = tmp_path / "x.pcap"
    capture.write_bytes(small())
    # Its own child would be out of reach without a namespace: tshark has none when it reads a file.
    tshark = stand_in(outside, "trap '' PIPE\n" + ("exec sleep 600" if confined else "sleep 600 & sleep 600"))
    command = [sys.executable, "-c", _PARENT, *map(str, (tmp_path / "work", tshark, capture))]
    parent = subprocess.Popen([*(_CONFINED if confined else ()), *command], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, contextlib.ExitStack() as ending:
        ending.callback(parent.kill)
        session = int(parent.stdout.readline())
        until = time.monotonic() + 10
        while not any(name_of(pid) == "sleep" for pid in processes_of(session)) and time.monotonic() < until:
            time.sleep(0.02)
        assert len(processes_of(session)) >= 3, "two of Python, and the stand-in"
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert gone(session)


def test_without_namespaces_the_other_layers_hold(tmp_path: Path) -> None:
    script = _PARENT.replace("time.sleep(600)", "while not run.done(): time.sleep(0.01)\nprint(run.answer().sandbox)")
    capture = tmp_path / "x.pcap"
    capture.write_bytes(small())
    command = [*_CONFINED, sys.executable, "-c", script, *map(str, (tmp_path / "work", real_tshark(), capture))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "max_user_namespaces" in done.stderr or "unshare" in done.stderr:
        pytest.skip("this machine allows no user namespace in which to forbid namespaces")
    assert "syscalls" in done.stdout, done.stderr
    assert "namespaces" not in done.stdout
