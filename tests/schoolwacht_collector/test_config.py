from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from schoolwacht import config as core
from schoolwacht.errors import ConfigError
from schoolwacht_collector import config
from schoolwacht_collector.config import Settings
from schoolwacht_collector.index import STORES
from schoolwacht_collector.notify import NOTIFIERS
from schoolwacht_collector.notify.webhook import WebhookSettings


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "collector.toml"
    path.write_text(text)
    return config.load(path)


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Settings()


def test_every_table_is_read(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        [collector]
        state = "/srv/sw"
        [intake]
        listen = "0.0.0.0:8443"
        [console]
        listen = "[::1]:8480"
        [store]
        kind = "elasticsearch"
        [store.elasticsearch]
        urls = ["http://a:9200", "http://b:9200"]
        prefix = "sw"
        [[notify]]
        type = "webhook"
        name = "cert"
        url = "https://cert.example.nl/hook"
        [limits]
        past_days = 0
        """,
    )
    assert settings.intake.listen == "0.0.0.0:8443"
    assert settings.store.elasticsearch.urls == ("http://a:9200", "http://b:9200")
    assert [target.name for target in settings.notify] == ["cert"]
    assert settings.sqlite_directory == Path("/srv/sw/store")


@pytest.mark.parametrize("listen", ["0.0.0.0:8480", "192.0.2.1:8480", "[::]:8480", "[2001:db8::1]:80"])
def test_a_console_that_others_can_reach_is_refused(tmp_path: Path, listen: str) -> None:
    with pytest.raises(ConfigError, match="no login yet") as caught:
        load(tmp_path, f'[console]\nlisten = "{listen}"')
    assert caught.value.field == "console.listen"
    assert caught.value.path == str(tmp_path / "collector.toml")


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.9.9.9:8480", "[::1]:8480", "localhost:8480"])
def test_a_console_on_loopback_is_taken(tmp_path: Path, listen: str) -> None:
    assert load(tmp_path, f'[console]\nlisten = "{listen}"').console.listen == listen


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('[intake]\nlisten = "8443"', "intake.listen"),
        ('[intake]\nlisten = "127.0.0.1:99999"', "intake.listen"),
        ('[intake]\nlisten = "::1:8443"', "intake.listen"),
        ('[intake]\nlisten = "collector.example.nl:8443"', "intake.listen"),
        ('[intake]\nlisten = "127.0.0.1:-1"', "intake.listen"),
        ('[console]\nlisten = "127.0.0.1:8443"', "console.listen"),
        ("[limits]\nflight_bytes = 4194304", "limits.agent_flight_bytes"),
        ("[limits]\nagent_flight_bytes = 1", "limits.agent_flight_bytes"),
        ("[limits]\nsurprise = 1", "limits.surprise"),
        ("[store]\nkind = 'oracle'", "store.kind"),
        ('[[notify]]\ntype="pigeon"\nname="a"\nurl="http://a"', "notify[0].type"),
        ('[[notify]]\ntype="webhook"\nname="a"\nurl="http://a"\n' * 2, "notify[1].name"),
        ('[collector]\nstate = ""', "collector.state"),
    ],
)
def test_a_fault_names_the_setting(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert (caught.value.field or "").startswith(field)
    assert caught.value.path is not None


def test_settings_for_inside_another_program_use_free_ports_below_one_directory(tmp_path: Path) -> None:
    settings = config.check(config.local(tmp_path))
    assert settings.intake.listen.endswith(":0")
    assert settings.console.listen.endswith(":0")
    assert settings.dead_letters.is_relative_to(tmp_path)
    assert settings.sqlite_directory.is_relative_to(tmp_path)
    assert settings.limits.past_days == 0


def test_every_setting_has_a_description() -> None:
    found = list(core.settings(Settings))
    assert len(found) > 25
    assert [setting.name for setting in found if not setting.description] == []


def test_the_stores_and_notifiers_of_the_tables_can_be_configured() -> None:
    assert {kind.value for kind in config.StoreName} == set(STORES)
    assert {kind.settings for kind in NOTIFIERS.values()} == {WebhookSettings}
    assert msgspec.structs.asdict(Settings().store).keys() == {"kind", *STORES}
