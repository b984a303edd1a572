"""What deploy/agent holds works: the settings load, Suricata takes its files, the units allow no more than promised."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from schoolwacht.event import Dataset
from schoolwacht_agent import cli, config
from schoolwacht_agent.config import SuricataTable
from schoolwacht_agent.sources.suricata import SuricataSource
from schoolwacht_agent.sources.suricata.configuration import configuration, version_of
from schoolwacht_agent.sources.suricata.process import read_words
from schoolwacht_agent.standpoint.mapping import parse_mapping
from schoolwacht_agent.standpoint.settings import StandpointKind
from schoolwacht_collector.register import read
from tests.parts import CAPTURES, ROOT, program, suricata

AGENT = ROOT / "deploy" / "agent"
UNITS = AGENT / "systemd"
SURICATA = AGENT / "suricata"
#: Promise 16: exposure times ten, as systemd-analyze wants it.
EXPOSURE = {
    "schoolwacht-agent-capture.service": 15,
    "schoolwacht-agent-forwarder.service": 15,
}


def test_every_service_has_its_bound_of_exposure() -> None:
    assert set(EXPOSURE) == {path.name for path in UNITS.glob("*.service")}


@pytest.mark.parametrize(("unit", "most"), EXPOSURE.items())
def test_a_service_has_no_more_rights_than_promised(unit: str, most: int) -> None:
    analyse = program("systemd-analyze", "systemd")
    done = subprocess.run(
        [analyse, "security", "--offline=true", "--no-pager", f"--threshold={most}", str(UNITS / unit)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:]
    assert "Overall exposure level" in done.stdout
    assert "ignoring" not in done.stderr, done.stderr


@pytest.mark.parametrize("unit", EXPOSURE)
def test_a_service_runs_a_command_that_exists(unit: str) -> None:
    (line,) = re.findall(r"^ExecStart=(.+)$", (UNITS / unit).read_text(), re.MULTILINE)
    name, *arguments = shlex.split(line)
    assert Path(name).name == "schoolwacht-agent"
    assert cli.parser().parse_args(arguments).config == cli.DEFAULT_CONFIG


def test_the_capture_may_make_the_calls_by_which_decoding_gives_its_rights_up() -> None:
    """Of those that ``evidence/sandbox.py`` makes, the system's own groups withhold some."""
    analyse = program("systemd-analyze", "systemd")
    allowed: set[str] = set()
    for line in re.findall(
        r"^SystemCallFilter=(.+)$", (UNITS / "schoolwacht-agent-capture.service").read_text(), re.MULTILINE
    ):
        names = {call for word in line.lstrip("~").split() for call in _calls(analyse, word)}
        allowed = allowed - names if line.startswith("~") else allowed | names
    needed = {"capset", "prctl", "prlimit64", "seccomp", "landlock_restrict_self", "landlock_create_ruleset"}
    assert needed <= allowed
    assert not {"mount", "ptrace", "setuid", "init_module", "reboot"} & allowed


def _calls(analyse: Path, word: str) -> set[str]:
    """The system calls of a name or, if it begins with @, of a group."""
    if not word.startswith("@"):
        return {word}
    done = subprocess.run([analyse, "syscall-filter", word], capture_output=True, text=True, timeout=30, check=True)
    inside = [line.strip() for line in done.stdout.splitlines()[1:] if line.strip() and "#" not in line]
    return {call for name in inside for call in _calls(analyse, name)}


def test_the_settings_of_a_gateway_load() -> None:
    settings = config.load(AGENT / "gateway.toml")
    assert [zone.kind.value for zone in settings.zones] == ["staff", "pupil", "guest", "server"]
    assert settings.uplink.key_file.startswith("/run/credentials/schoolwacht-agent-forwarder.service/")


def test_the_settings_of_a_sensor_load_with_their_mapping_and_register() -> None:
    settings = config.load(AGENT / "ndc.toml")
    assert settings.standpoint.kind is StandpointKind.NDC
    assert settings.standpoint.mapping == "/etc/schoolwacht/schools.csv"
    zones = [zone.name for zone in settings.zones]
    entries = parse_mapping((AGENT / "schools.csv").read_bytes(), path="schools.csv", zones=zones)
    assert {entry.place.school for entry in entries} == {school.location for school in read(AGENT / "register.csv")}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All our signatures as one file."""
    made = tmp_path_factory.mktemp("rules") / "all.rules"
    made.write_text("\n".join(path.read_text() for path in sorted((ROOT / "rules" / "suricata").glob("*.rules"))))
    return made


@pytest.mark.parametrize("name", ["small-box.yaml", "sensor.yaml"])
def test_suricata_takes_its_configuration_with_our_signatures(name: str, rules: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [suricata(), "-T", "-c", SURICATA / name, "-S", rules, "-l", tmp_path],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    # That this machine has fewer processors than a sensor is no fault of the file.
    faults = [word for word in read_words(tmp_path / "suricata.log") if word.level == "Error"]
    assert [word for word in faults if word.module != "affinity"] == []


def test_what_a_small_box_writes_is_what_the_agent_reads(rules: Path, tmp_path: Path) -> None:
    subprocess.run(
        [suricata(), "-c", SURICATA / "small-box.yaml", "-S", rules, "-l", tmp_path, "-k", "none",
         "--runmode", "single", "--set", "unix-command.enabled=no", "-r", CAPTURES / "web-and-dns.pcap"],
        capture_output=True, timeout=100, check=True,
    )  # fmt: skip
    source = SuricataSource.attach(tmp_path / "eve.json", settings=SuricataTable(eve_from_start=True))
    counted: Counter[Dataset] = Counter()
    for events in source.read():
        counted.update(event.event_dataset for event in events)
        if not events:
            source.stop()
    assert min(counted[one] for one in (Dataset.FLOW, Dataset.DNS, Dataset.HTTP, Dataset.TLS)) > 0
    assert counted[Dataset.HEALTH] == 1
    assert source.counters.invalid == {}


def _sections(text: str) -> dict[str, str]:
    """Top-level keys of a YAML file with their text, without comments."""
    parts = re.split(r"^(?=[a-z][a-z-]*:)", text, flags=re.MULTILINE)[1:]
    lines = {part.partition(":")[0]: part.splitlines() for part in parts}
    return {
        name: "\n".join(line for line in part if line.strip() and not line.lstrip().startswith("#"))
        for name, part in lines.items()
    }


def test_the_records_and_protocols_are_those_that_the_agent_gives_its_own_suricata() -> None:
    home = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
    own = _sections(
        configuration(
            SuricataTable(), version=version_of(str(suricata())), directory=Path("/var/log/suricata"), home=home,
            rules=[], interface="eth1",
        )
    )  # fmt: skip
    # What the agent's own Suricata writes beside its records: packets for evidence, in a place that the agent knows.
    own["outputs"] = own["outputs"].partition("\n  - pcap-log")[0]
    common = _sections((SURICATA / "common.yaml").read_text())
    assert {"vars", "outputs", "app-layer", "decoder", "vlan"} <= set(common)
    assert common == {name: own[name] for name in common}
