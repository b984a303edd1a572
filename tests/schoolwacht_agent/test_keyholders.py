"""The commands of the board's officers, as they type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schoolwacht_agent.cli import main
from schoolwacht_agent.minimise import keys
from schoolwacht_agent.minimise.register import Register

CASE = ["--case", "2026-017", "--reason", "an infected laptop"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(f'[agent]\nname = "gw"\nstate = "{tmp_path / "state"}"\n')
    for name, words in (("jansen", "paard accu batterij"), ("devries", "nietje wolk fiets"), ("wrong", "x" * 20)):
        file = tmp_path / name
        file.write_text(words + "\n")
        file.chmod(0o600)
    return path


def command(config: Path, name: str, *arguments: str, files: tuple[str, str] = ("jansen", "devries")) -> int:
    officers = ["--officer", "A. Jansen", "--officer", "B. de Vries"]
    passphrases = [part for file in files for part in ("--passphrase-file", str(config.parent / file))]
    seal = ["--seal", str(config.parent / "board.seal")]
    return main([name, *arguments, "--config", str(config), *seal, *officers, *passphrases])


def test_what_the_agent_notes_with_the_created_key_two_officers_unmask(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(config, "key", "create") == 0
    state = config.parent / "state"
    key = keys.read(state / "board.key")
    register = Register(state / "register", keys.Keys(key).register, max_bytes=1 << 20, keep=24)
    register.note("202611", "fd00::1", "10.21.3.7")
    register.flush()
    capsys.readouterr()
    assert command(config, "unmask", "fd00::1", *CASE) == 0
    text = capsys.readouterr().out
    assert "fd00::1  10.21.3.7  (202611)" in text
    assert "audit line 1, " in text
    assert command(config, "unmask", "fd00::1", "fd00::2", *CASE, "--json") == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["found"][0] == {"pseudonym": "fd00::1", "values": [{"period": "202611", "value": "10.21.3.7"}]}
    assert shown["found"][1]["values"] == []
    assert shown["audit"]["line"] == 2
    assert command(config, "unmask", "fd00::1", *CASE, files=("jansen", "wrong")) == 1
    refused = capsys.readouterr()
    assert refused.out == ""
    assert "passphrases is wrong" in refused.err


def test_neither_file_is_ever_overwritten(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "state").mkdir()
    (config.parent / "state" / "board.key").touch()
    assert command(config, "key", "create") == 1
    assert "board.key: exists already" in capsys.readouterr().err
    assert not (config.parent / "board.seal").exists()


def test_a_passphrase_that_others_can_read_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "jansen").chmod(0o644)
    assert command(config, "key", "create") == 1
    assert "chmod 600" in capsys.readouterr().err


def test_without_registers_unmask_says_where_it_looked(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(config, "unmask", "fd00::1", *CASE) == 1
    assert "state/register: there are no registers here" in capsys.readouterr().err


def test_an_officer_cannot_count_for_two(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["key", "create", "--config", str(config), "--seal", str(config.parent / "seal")]
    assert main([*arguments, "--officer", "A", "--officer", "A"]) == 1
    assert "an officer is named twice" in capsys.readouterr().err
