from __future__ import annotations

import json
from pathlib import Path

import pytest

from schoolwacht_console.cli import main
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
