"""Planted identities go through every path of the agent, and nothing shows: on the wire, in the spool, in the log."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.utils import rdpcap

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.health import last_beat
from schoolwacht_agent.minimise.settings import Level
from tests.parts import CAPTURES
from tests.schoolwacht_agent.collecting import collecting
from tests.schoolwacht_agent.minimise import planted

ENVIRONMENT = os.environ | {"SCHOOLWACHT_AGENT_KEY": "gw.secret"}


def configuration(root: Path, url: str, level: Level, *, eve: Path | None = None) -> Path:
    path = root / "agent.toml"
    source = f'[source]\nengine = "suricata"\n[source.suricata]\neve = "{eve}"\neve_from_start = true\n' if eve else ""
    path.write_text(
        f'[agent]\nname = "gw"\nstate = "{root / "state"}"\nlog = "debug"\n'
        f'[minimise]\ndetail = "{level.value}"\n{source}'
        f'[uplink]\ncollectors = ["{url}"]\n'
    )
    return path


async def delivered(root: Path, level: Level, *captures: Path) -> tuple[list[Event], bytes]:
    """What arrives of captures that are played with ``replay --send``, and what the agent said."""
    async with collecting() as collector:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schoolwacht_agent", "replay", "--engine", "packets", "--send",
            "--config", str(configuration(root, collector.url, level)), *map(str, captures),
            env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err
        return collector.order, out + err


def homes_of(capture: Path) -> Iterator[bytes]:
    """Every form of the own addresses and of the machines' MAC addresses in a capture."""
    homes, macs, addresses = Homes(), set(), set()
    for packet in rdpcap(str(capture)):
        if Ether in packet:
            macs |= {packet.src, packet.dst}
        if ARP in packet:
            addresses |= {packet[ARP].psrc, packet[ARP].pdst}
        for layer in (IP, IPv6):
            if layer in packet:
                addresses |= {packet[layer].src, packet[layer].dst}
    for mac in macs:
        if not int(mac[:2], 16) & 1 and mac != "00:00:00:00:00:00":
            yield from planted.of_mac(mac)
    for address in addresses:
        if homes.is_home(address) and address not in ("0.0.0.0", "127.0.0.1", "::", "::1"):
            yield from planted.of_address(address)


def unmistakable(forms: Iterator[bytes]) -> list[bytes]:
    """Without those that any bytes hold by chance: four packed bytes, or digits of which a longer number consists."""
    return [form for form in forms if len(form) > 4]


@pytest.mark.parametrize("level", list(Level))
async def test_nothing_of_a_planted_machine_shows_at_any_level(tmp_path: Path, level: Level) -> None:
    events, said = await delivered(tmp_path, level, planted.capture(tmp_path / "planted.pcap"))
    found = {one.event_dataset for one in events}
    assert {Dataset.SIGNAL, Dataset.SIGHTING} <= found
    assert Dataset.FLOW in found if level is Level.FULL else Dataset.FLOW not in found
    assert Dataset.SUMMARY in found if level is Level.SUMMARY else Dataset.SUMMARY not in found
    places = [("the log", said), *planted.files(tmp_path / "state"), *planted.sent(events)]
    assert planted.shows(places, planted.needles()) == []


async def test_the_needles_are_found_where_minimise_is_off(tmp_path: Path) -> None:
    capture = planted.capture(tmp_path / "planted.pcap")
    async with collecting() as collector:
        path = configuration(tmp_path, collector.url, Level.FULL)
        path.write_text(path.read_text().replace("[minimise]", "[minimise]\nenabled = false"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schoolwacht_agent", "replay", "--engine", "packets", "--send",
            "--config", str(path), str(capture), env=ENVIRONMENT,
        )  # fmt: skip
        assert await asyncio.wait_for(process.wait(), 60) == 0
        shown = "".join(planted.shows(planted.sent(collector.order), planted.needles()))
    for identity in (planted.ADDRESS, planted.ADDRESS6, planted.MACHINE, planted.PERSON, planted.PUPIL, planted.SECRET):
        assert identity in shown
    assert "02-7E-57-1D-E4-A3" in shown


async def captured(root: Path, level: Level, *, off: bool = False) -> list[tuple[str, bytes]]:
    """What the capturing process leaves on disk of EVE that holds planted identities, and what it says."""
    path = configuration(root, "http://127.0.0.1:9", level, eve=planted.eve(root / "eve.json"))
    if off:
        path.write_text(path.read_text().replace("[minimise]", "[minimise]\nenabled = false"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schoolwacht_agent", "run", "--only", "capture", "--config", str(path),
        env=ENVIRONMENT, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    for _ in range(400):
        beat = last_beat(root / "state", "capture")
        if beat is not None and beat[0].figures.get("events", 0) > 20:
            break
        await asyncio.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = await asyncio.wait_for(process.communicate(), 30)
    return [("the log", err), *planted.files(root / "state")]


@pytest.mark.parametrize("level", [Level.FULL, Level.SUMMARY])
async def test_nothing_shows_of_what_only_suricata_takes_apart(tmp_path: Path, level: Level) -> None:
    kept = await captured(tmp_path, level)
    assert sum(len(content) for name, content in kept if name.startswith("spool/events")) > 1000
    assert sum(len(content) for name, content in kept if name.startswith("spool/signals")) > 500
    assert planted.shows(kept, planted.needles()) == []


async def test_the_needles_are_found_in_the_spool_where_minimise_is_off(tmp_path: Path) -> None:
    shown = "".join(planted.shows(await captured(tmp_path, Level.FULL, off=True), planted.needles()))
    assert all(identity in shown for identity in (planted.ADDRESS, *planted.IDENTITIES))


async def test_nothing_shows_of_the_projects_own_recordings(tmp_path: Path) -> None:
    captures = sorted(CAPTURES.glob("*.pcap"))
    events, said = await delivered(tmp_path, Level.FULL, *captures)
    assert len(events) > 1000
    forms = unmistakable(form for capture in captures for form in homes_of(capture))
    assert forms
    everything = b"\0".join(content for _, content in [*planted.files(tmp_path / "state"), *planted.sent(events)])
    assert [form for form in set(forms) if form in everything + said] == []
