"""``backup`` and ``restore`` as an administrator runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schoolwacht_collector import secret
from schoolwacht_collector.cli import main


@pytest.fixture(autouse=True)
def _no_secret_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(secret.VARIABLE, raising=False)


def config(directory: Path, more: str = "") -> str:
    directory.mkdir(exist_ok=True)
    path = directory / "collector.toml"
    path.write_text(f'[collector]\nstate = "{directory / "state"}"\n{more}')
    return str(path)


def test_a_copy_put_back_elsewhere_is_the_same_collector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, copy = config(tmp_path / "one"), config(tmp_path / "two"), str(tmp_path / "copy")
    assert main(["init", "--config", first]) == 0
    assert main(["enrol", "gateway-1", "--school", "00AB00", "--board", "12345", "--config", first]) == 0

    assert main(["backup", copy, "--config", first]) == 0
    assert main(["restore", "--check", copy, "--config", second]) == 0
    assert main(["restore", copy, "--config", second]) == 0
    capsys.readouterr()

    # The secret and the agents are those of the first: it is enrolled there already.
    assert secret.load(tmp_path / "one" / "state") == secret.load(tmp_path / "two" / "state")
    assert main(["enrol", "gateway-1", "--school", "00AB00", "--board", "12345", "--config", second]) == 1
    assert "gateway-1" in capsys.readouterr().err


def test_the_manifest_can_be_had_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path / "one")
    assert main(["init", "--config", path]) == 0
    capsys.readouterr()

    assert main(["backup", str(tmp_path / "copy"), "--config", path, "--json"]) == 0

    manifest = json.loads(capsys.readouterr().out)
    assert [file["name"] for file in manifest["files"]] == ["state.sqlite", "secret"]
    assert manifest["left_out"] == {}


def test_elasticsearch_makes_its_copies_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path / "one", '[store]\nkind = "elasticsearch"\n')

    assert main(["backup", str(tmp_path / "copy"), "--config", path]) == 1
    assert "snapshots" in capsys.readouterr().err


def test_a_restore_never_overwrites_a_collector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, copy = config(tmp_path / "one"), str(tmp_path / "copy")
    assert main(["init", "--config", path]) == 0
    assert main(["backup", copy, "--config", path]) == 0

    assert main(["restore", copy, "--config", path]) == 1
    assert "move it away first" in capsys.readouterr().err
