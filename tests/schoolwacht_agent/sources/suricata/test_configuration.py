"""The configuration for Suricata: that the real one takes it, and that what is too old or missing is said."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from schoolwacht.errors import SourceError
from schoolwacht_agent.config import DEFAULT_HOME, SuricataTable
from schoolwacht_agent.sources.suricata.configuration import Version, configuration, version_of
from tests.parts import suricata

SEVEN, EIGHT = Version(7, 0, 10), Version(8, 0, 3)


def pretend(tmp_path: Path, text: str) -> str:
    """A program that says what ``suricata -V`` of another release says."""
    path = tmp_path / "suricata"
    path.write_text(f"#!/bin/sh\necho '{text}'\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def make(
    tmp_path: Path,
    *,
    version: Version = SEVEN,
    interface: str | None = None,
    settings: SuricataTable | None = None,
) -> str:
    return configuration(
        settings or SuricataTable(),
        version=version,
        directory=tmp_path,
        home=DEFAULT_HOME,
        rules=[],
        interface=interface,
    )


def test_the_real_release_is_read() -> None:
    assert version_of(str(suricata())) >= SEVEN[:1]


def test_the_patch_level_is_no_matter(tmp_path: Path) -> None:
    assert version_of(pretend(tmp_path, "This is Suricata version 8.0.3 RELEASE")) == EIGHT


def test_an_older_release_is_refused_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is Suricata 6\.0\.10; version 7 or 8 is needed"):
        version_of(pretend(tmp_path, "This is Suricata version 6.0.10 RELEASE"))


def test_another_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not say that it is Suricata"):
        version_of(pretend(tmp_path, "hello"))


def test_a_missing_program_is_named_with_what_to_install() -> None:
    with pytest.raises(SourceError, match="install the package suricata") as caught:
        version_of("/nergens/suricata")
    assert caught.value.field == "source.suricata.binary"


def test_a_program_that_may_not_be_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "suricata").write_text("x", encoding="utf-8")
    with pytest.raises(SourceError, match="cannot be run: Permission denied"):
        version_of(str(tmp_path / "suricata"))


@pytest.mark.parametrize("interface", [None, "lo"])
def test_the_real_suricata_takes_the_configuration_without_a_warning(tmp_path: Path, interface: str | None) -> None:
    (tmp_path / "suricata.yaml").write_text(make(tmp_path, interface=interface), encoding="utf-8")
    done = subprocess.run(
        [suricata(), "-T", "-c", tmp_path / "suricata.yaml", "-l", tmp_path, "--disable-detection"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stdout + done.stderr
    assert "Error" not in done.stdout + done.stderr


def test_release_eight_is_asked_for_arp_and_alternative_names(tmp_path: Path) -> None:
    assert "arp" not in make(tmp_path)
    newer = make(tmp_path, version=EIGHT)
    assert "- arp: {enabled: yes}" in newer
    assert "subjectaltname" in newer


def test_only_a_replay_takes_up_connections_in_their_middle(tmp_path: Path) -> None:
    assert "midstream: true" in make(tmp_path)
    assert "midstream: false" in make(tmp_path, interface="lo")


def test_nothing_of_the_template_is_left_open(tmp_path: Path) -> None:
    assert "@" not in make(tmp_path) + make(tmp_path, interface="lo", version=EIGHT)


def test_a_large_mtu_does_not_multiply_the_ring(tmp_path: Path) -> None:
    """Loopback has 65,536 bytes of MTU."""
    text = make(tmp_path, interface="lo", settings=SuricataTable(ring_mib=64))
    slots = int(text.split("ring-size: ")[1].split()[0])
    assert slots * 65_536 <= 64 << 20


def test_the_bound_of_memory_is_divided(tmp_path: Path) -> None:
    text = make(tmp_path, settings=SuricataTable(memory_mib=1024))
    assert "memcap: 256mb" in text
    assert "memcap: 384mb" in text
