from __future__ import annotations

import stat
from pathlib import Path

import pytest

from schoolwacht.errors import ConfigError
from schoolwacht_collector import secret


@pytest.fixture(autouse=True)
def _no_secret_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(secret.VARIABLE, raising=False)


def test_a_secret_is_made_once_for_the_collector_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert secret.make(state)
    first = secret.load(state)
    assert not secret.make(state)
    assert secret.load(state) == first
    assert stat.S_IMODE((state / secret.FILE).stat().st_mode) == 0o600
    assert len(first) >= secret.SHORTEST


def test_two_secrets_differ(tmp_path: Path) -> None:
    secret.make(tmp_path / "a")
    secret.make(tmp_path / "b")
    assert secret.load(tmp_path / "a") != secret.load(tmp_path / "b")


def test_a_missing_secret_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"backup.*init.*stored twice"):
        secret.load(tmp_path)


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret.make(tmp_path)
    (tmp_path / secret.FILE).chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        secret.load(tmp_path)


def test_a_short_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(secret.VARIABLE, "short")
    with pytest.raises(ConfigError, match="5 characters"):
        secret.load(tmp_path)


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret.make(tmp_path)
    monkeypatch.setenv(secret.VARIABLE, "e" * 40)
    assert secret.load(tmp_path) == b"e" * 40


def test_a_secret_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made") as caught:
        secret.make(tmp_path / "file")
    assert caught.value.field == "collector.state"


def test_the_fingerprint_tells_secrets_apart_and_not_what_they_are() -> None:
    one, other = secret.fingerprint(b"a" * 40), secret.fingerprint(b"b" * 40)
    assert one != other
    assert len(one) == 8
