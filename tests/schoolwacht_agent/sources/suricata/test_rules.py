"""Every signature of ours: that Suricata takes it, what it says of itself, and its own examples."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from schoolwacht.errors import SourceError
from schoolwacht.event import Dataset, Event
from schoolwacht_agent.config import DEFAULT_HOME, SuricataTable
from schoolwacht_agent.sources.suricata import rules
from schoolwacht_agent.sources.suricata.configuration import configuration, version_of
from schoolwacht_agent.sources.suricata.rules import own_rules, rule_files
from schoolwacht_agent.sources.suricata.source import SuricataSource
from tests.parts import ROOT, shared_capture, suricata

FILES = own_rules()
EXAMPLES = ROOT / "rules" / "examples" / "suricata"
SIGNATURES = [
    (file, line)
    for file in FILES
    for line in file.read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
BENIGN = ("teams.pcap", "windows-update.pcap", "youtube-upload.pcap", "smb-100-small-files.pcap", "ssh-guessing.pcap")


def examples(kind: str) -> list[Path]:
    return sorted(EXAMPLES.glob(f"*/{kind}/*.pcap"))


def name(value: object) -> str:
    return str(value.relative_to(EXAMPLES)) if isinstance(value, Path) and EXAMPLES in value.parents else str(value)


@cache
def signals(capture: Path) -> list[Event]:
    source = SuricataSource.from_files([capture], settings=SuricataTable(binary=str(suricata())))
    return [event for events in source.read() for event in events if event.event_dataset is Dataset.SIGNAL]


def sid(signature: str) -> int:
    return int(re.findall(r"\bsid:(\d+);", signature)[0])


def test_suricata_takes_every_rule(tmp_path: Path) -> None:
    """With ``-T`` as before a roll-out: one bad rule fails it."""
    check_rules(tmp_path, SuricataTable())


def test_suricata_takes_every_rule_where_the_domain_controllers_are_listed(tmp_path: Path) -> None:
    check_rules(tmp_path, SuricataTable(domain_controllers=("10.21.0.10", "fd00:21::/64")))


def check_rules(directory: Path, settings: SuricataTable) -> None:
    program = str(suricata())
    written = directory / "suricata.yaml"
    text = configuration(
        settings, version=version_of(program), directory=directory, home=DEFAULT_HOME, rules=FILES, interface=None
    )
    written.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [program, "-T", "-c", written, "-l", directory, "--init-errors-fatal"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def test_numbers_are_ours_unique_and_of_their_detection() -> None:
    numbers = [sid(line) for _, line in SIGNATURES]
    assert len(set(numbers)) == len(numbers)
    for file, line in SIGNATURES:
        assert sid(line) // 100 == 91_000 + int(file.name[1:3])


@pytest.mark.parametrize(("file", "signature"), SIGNATURES, ids=[str(sid(line)) for _, line in SIGNATURES])
def test_a_signature_says_what_it_detects_and_how_sure_it_is(file: Path, signature: str) -> None:
    detection = file.name[:3].upper()
    assert f"detection {detection}" in signature
    if "noalert;" in signature:
        return
    assert re.search(r"mitre_technique_id T\d{4}(\.\d{3})?,", signature)
    assert re.search(r"mitre_tactic_id TA\d{4},", signature)
    assert re.search(r"signature_severity (Critical|Major|Minor|Informational),", signature)
    assert re.search(r"confidence (High|Medium|Low)\W", signature)
    assert re.search(r"classtype:[a-z-]+;", signature)
    assert f'msg:"SW {detection} ' in signature


@pytest.mark.parametrize("capture", examples("match"), ids=name)
def test_an_example_sets_off_its_detection(capture: Path) -> None:
    found = signals(capture)
    assert {event.signal_detection for event in found} == {capture.parts[-3][:3].upper()}


@pytest.mark.parametrize("detection", ["d16-log4shell", "d17-web-injection"])
def test_every_conversation_of_a_collection_of_attacks_is_seen(detection: str) -> None:
    collection = EXAMPLES / detection / "match" / "attacks.pcap"
    requests = len((EXAMPLES / detection / "attacks.jsonl").read_text(encoding="utf-8").splitlines())
    assert len({event.source_port for event in signals(collection)}) == requests


def test_a_listed_domain_controller_may_copy_the_directory() -> None:
    capture = EXAMPLES / "d11-dcsync" / "match" / "workstation.pcap"
    settings = SuricataTable(binary=str(suricata()), domain_controllers=("10.21.4.7",))
    source = SuricataSource.from_files([capture], settings=settings)
    assert [event.rule_name for events in source.read() for event in events if event.rule_name] == []


@pytest.mark.parametrize("capture", examples("miss"), ids=name)
def test_an_example_that_must_not_match_does_not(capture: Path) -> None:
    assert [event.rule_name for event in signals(capture)] == []


def test_every_signature_that_alerts_is_set_off_by_an_example() -> None:
    hit = {event.rule_id for capture in examples("match") for event in signals(capture)}
    alerting = {str(sid(line)) for _, line in SIGNATURES if "noalert;" not in line}
    assert alerting - hit == set()


@pytest.mark.parametrize(
    ("capture", "detection"),
    [
        ("log4shell-user-agent.pcap", "D16"),
        ("mining-stratum.pcapng", "D22"),
        ("sql-injection.pcap", "D17"),
        ("psexec-admin-share.pcap", "D09"),
        ("tor.pcap", "D23"),
    ],
)
def test_published_captures_of_attacks_are_detected(capture: str, detection: str) -> None:
    assert {event.signal_detection for event in signals(shared_capture(capture))} == {detection}


@pytest.mark.parametrize("capture", BENIGN)
def test_published_captures_without_these_attacks_give_no_signal(capture: str) -> None:
    assert signals(shared_capture(capture)) == []


@pytest.mark.parametrize("capture", sorted((ROOT / "tests" / "captures").glob("*.pcap")), ids=lambda path: path.name)
def test_our_own_recordings_of_other_things_give_no_signal(capture: Path) -> None:
    assert [event.rule_name for event in signals(capture)] == []


def test_configured_files_come_after_our_own(tmp_path: Path) -> None:
    extra = tmp_path / "extra.rules"
    extra.write_text("", encoding="utf-8")
    assert rule_files(True, [str(extra)]) == [*FILES, extra]
    assert rule_files(False, [str(extra)]) == [extra]


def test_a_configured_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file") as caught:
        rule_files(False, [str(tmp_path / "nergens.rules")])
    assert (caught.value.path, caught.value.field) == (str(tmp_path / "nergens.rules"), "source.suricata.rules[0]")


def test_a_wheel_carries_the_rules_to_where_they_are_looked_for() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"rules/suricata" = "schoolwacht_agent/rules/suricata"' in text
    looked_for = Path(rules.__file__).parents[2] / "rules" / "suricata"
    assert looked_for == ROOT / "agent" / "schoolwacht_agent" / "rules" / "suricata"
