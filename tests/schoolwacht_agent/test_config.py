from __future__ import annotations

from pathlib import Path

import pytest

from schoolwacht.config import settings
from schoolwacht.errors import ConfigError
from schoolwacht_agent import config
from schoolwacht_agent.config import KEY_VARIABLE, Settings
from tests.parts import ROOT


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "agent.toml"
    path.write_text(f'[agent]\nname = "gw-1"\n{text}')
    return config.load(path)


def test_a_name_is_all_that_must_be_said(tmp_path: Path) -> None:
    made = load(tmp_path, "")
    assert made.agent.state == "/var/lib/schoolwacht-agent"
    assert made.uplink.verify
    assert made.source.home == made.agent.home


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('home = ["10.0.0.0/8", "10.0.0.1/8"]', r"agent\.home\[1\]"),
        ("home = []", r"agent\.home"),
        ("[spool]\nmax_bytes = 1", r"spool\.max_bytes"),
        ('[source]\nengine = "zeek"', r"source\.engine"),
        ("[uplink]\nverify_tls = false", r"uplink\.verify_tls: unknown"),
        ('[uplink]\ncollectors = ["collector.example"]', r"uplink\.collectors\[0\]"),
        ('[uplink]\ncollectors = ["https://"]', r"uplink\.collectors\[0\]"),
        ('[uplink]\ncollectors = ["https://a:x"]', r"uplink\.collectors\[0\]"),
        ('[uplink]\ncollectors = ["https://u:p@a.example"]', r"uplink\.collectors\[0\]"),
        ('[uplink]\ncollectors = ["https://a.example", "http://a.example"]', r"uplink\.collectors\[1\].*in the clear"),
        ('[uplink]\ncollectors = ["http://localhost.example"]', "in the clear"),
        ("[behave.beacon]\nno_such = 1", r"behave\.beacon\.no_such"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(ConfigError, match=rf"agent\.toml.*{field}"):
        load(tmp_path, text)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8443", "http://[::1]:8443", "http://localhost:8443"])
def test_on_this_machine_plain_http_will_do(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, f'[uplink]\ncollectors = ["{url}"]').uplink.collectors == (url,)


def test_plain_http_beyond_this_machine_must_be_meant(tmp_path: Path) -> None:
    text = '[uplink]\nallow_plain_http = true\ncollectors = ["http://a.example"]'
    assert load(tmp_path, text).uplink.allow_plain_http


@pytest.mark.parametrize("name", ["", "GW", "a.b", "a" * 64])
def test_a_name_is_what_the_collector_enrols(tmp_path: Path, name: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f'[agent]\nname = "{name}"\n')
    with pytest.raises(ConfigError, match=r"agent\.name"):
        config.load(path)


def test_the_key_comes_from_a_file_that_only_we_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    path = tmp_path / "key"
    path.write_text("gw-1.secret\n")
    path.chmod(0o600)
    made = load(tmp_path, f'[uplink]\nkey_file = "{path}"')
    assert config.key(made) == "gw-1.secret"
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        config.key(made)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("secret", "no key of an agent"),
        ("gw-2.secret", "belongs to agent 'gw-2'"),
        ("gw-1.se cret", "visible ASCII"),
        ("gw-1.geheimé", "visible ASCII"),
    ],
)
def test_a_key_that_cannot_be_ours_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, reason: str
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, value)
    with pytest.raises(ConfigError, match=reason):
        config.key(load(tmp_path, ""))


def test_without_a_key_both_ways_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=r"uplink\.key_file.*SCHOOLWACHT_AGENT_KEY or a file"):
        config.key(load(tmp_path, ""))


def test_every_setting_is_described_and_stands_in_the_documentation() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    for setting in settings(Settings):
        assert setting.description, setting.name
        assert setting.description.endswith("."), setting.name
        assert f"| `{setting.name}` |" in page
