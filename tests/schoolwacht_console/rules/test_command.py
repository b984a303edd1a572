from __future__ import annotations

import json
from pathlib import Path

import pytest

from schoolwacht_console.cli import main
from tests.parts import suricata
from tests.schoolwacht_collector.rules.test_shipped import RULES

SIGMA = RULES / "sigma"
CAPTURE = Path(__file__).resolve().parents[2] / "captures" / "web-and-dns.pcap"
Captured = pytest.CaptureFixture[str]


def test_all_own_sigma_rules_pass_test_and_lint(capsys: Captured) -> None:
    assert main(["rules", "test", str(SIGMA), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert counts["rules"] > 20
    assert counts["examples"] > 100
    assert main(["rules", "lint", str(SIGMA)]) == 0


def test_a_new_rule_passes_its_own_test_and_is_never_written_over(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "mine.yml"
    assert main(["rules", "new", str(path), "--name", "S90-mine"]) == 0
    assert main(["rules", "test", str(path)]) == 0
    assert main(["rules", "lint", str(path)]) == 0
    assert main(["rules", "new", str(path), "--name", "S90-mine"]) == 2
    assert str(path) in capsys.readouterr().err


def test_a_failing_example_is_reported_with_file_and_line(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "mine.yml"
    main(["rules", "new", str(path), "--name", "S90-mine"])
    text = path.read_text("utf-8").replace("{destination.port: 10,", "{destination.port: 9,")
    path.write_text(text, "utf-8")
    line = next(n for n, each in enumerate(text.splitlines(), 1) if "miss:" in each) + 1
    assert main(["rules", "test", str(path)]) == 1
    assert f"{path}:{line}: examples.miss.0: must not match and does" in capsys.readouterr().err


def described(kind: str, name: str, target: Path) -> Path:
    """A copy of a description whose captures are still those of the project."""
    source = RULES / kind / name
    folder = target / kind
    folder.mkdir()
    for beside in source.parent.glob(f"{source.stem}.*"):
        text = beside.read_text("utf-8").replace("{capture: ../..", f"{{capture: {RULES.parent}")
        (folder / beside.name).write_text(text.replace("{capture: ..", f"{{capture: {RULES}"), "utf-8")
    return folder / name


def test_a_capture_that_does_not_show_the_behaviour_is_reported_with_file_and_line(
    tmp_path: Path, capsys: Captured
) -> None:
    path = described("behaviour", "d04-password-guessing.yml", tmp_path)
    text = path.read_text("utf-8").split("  match:")[0]
    guessing, web = CAPTURE.with_name("ssh-guessing.pcap"), CAPTURE
    for right in (True, False):
        match, miss = (guessing, web) if right else (web, guessing)
        examples = "".join(f"  {side}:\n    - {{capture: {one}, engine: packets}}\n"
                           for side, one in (("match", match), ("miss", miss)))  # fmt: skip
        path.write_text(text + examples, "utf-8")
        assert main(["rules", "test", str(path)]) == (0 if right else 1)
    line = text.count("\n") + 2
    told = capsys.readouterr().err
    assert f"{path}:{line}: examples.match.0: web-and-dns.pcap must give the detection and does not" in told
    assert f"{path}:{line + 2}: examples.miss.0: ssh-guessing.pcap must not give it and does" in told


def test_a_capture_that_does_not_set_off_the_signatures_is_reported(tmp_path: Path, capsys: Captured) -> None:
    suricata()
    path = described("suricata", "d23-tor.yml", tmp_path)
    text = path.read_text("utf-8").split("  match:")[0]
    folder = RULES / "examples" / "suricata" / "d23-tor"
    path.write_text(
        f"{text}  match:\n    - {{capture: {folder}/match/socks.pcap}}\n    - {{capture: {folder}/miss/word.pcap}}\n"
        f"  miss:\n    - {{capture: {folder}/miss/net.pcap}}\n",
        "utf-8",
    )
    assert main(["rules", "test", str(path)]) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert f"{path}:{text.count(chr(10)) + 3}: examples.match.1: word.pcap must give the detection" in told


def test_a_correlation_rule_is_tried_and_a_wrong_example_is_told_with_its_line(
    tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "d06.yml"
    text = (RULES / "correlation" / "d06-kerberoast.yml").read_text("utf-8")
    path.write_text(text, "utf-8")
    assert main(["rules", "test", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 6
    path.write_text(text.replace("number: 3, seconds: 300", "number: 2, seconds: 300", 1), "utf-8")
    line = next(n for n, each in enumerate(text.splitlines(), 1) if each == "  match:") + 1
    assert main(["rules", "test", str(path)]) == 1
    assert f"{path}:{line}: examples.match.0: must raise the rule and does not" in capsys.readouterr().err
    path.write_text(text.replace("number: 3, seconds: 300", "number: three, seconds: 300", 1), "utf-8")
    assert main(["rules", "test", str(path)]) == 1
    assert f"{path}:{line}: examples.match.0: is no example" in capsys.readouterr().err


def test_an_idle_condition_is_found(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "mine.yml"
    main(["rules", "new", str(path), "--name", "S90-mine"])
    text = path.read_text("utf-8").replace("    - {destination.port: 9, network.direction: internal}\n", "")
    path.write_text(text, "utf-8")
    assert main(["rules", "lint", str(path)]) == 1
    assert "network.direction: could always hold" in capsys.readouterr().err


def test_list_and_bench_name_every_rule(capsys: Captured) -> None:
    assert main(["rules", "list", str(SIGMA), "--json"]) == 0
    listed = {json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()}
    assert main(["rules", "bench", str(SIGMA), "--capture", str(CAPTURE), "--json"]) == 0
    timed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {each["name"] for each in timed} == listed
    assert any(each["events"] for each in timed)


def test_a_place_that_is_not_there_is_wrong_use(tmp_path: Path, capsys: Captured) -> None:
    assert main(["rules", "test", str(tmp_path / "none")]) == 2
    assert "no such file" in capsys.readouterr().err
