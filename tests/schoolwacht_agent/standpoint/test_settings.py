from __future__ import annotations

from pathlib import Path

import pytest

from schoolwacht.errors import ConfigError
from schoolwacht_agent import config
from schoolwacht_agent.config import Settings
from schoolwacht_agent.standpoint.settings import ZoneKind


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "agent.toml"
    path.write_text(f'[agent]\nname = "gw-1"\n{text}')
    return config.load(path)


def zone(text: str, name: str = "a") -> str:
    return f'[[zones]]\nname = "{name}"\nkind = "pupil"\n{text}\n'


def test_a_zone_is_networks_and_vlans(tmp_path: Path) -> None:
    (made,) = load(tmp_path, zone('networks = ["10.1.0.0/16"]\nvlans = [20]')).zones
    assert (made.name, made.kind, made.networks, made.vlans) == ("a", ZoneKind.PUPIL, ("10.1.0.0/16",), (20,))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (zone(""), r"zones\[0\]: needs networks, vlans or both"),
        (zone('networks = ["10.0.0.1/8"]'), r"zones\[0\]\.networks\[0\]: no network"),
        (zone("vlans = [4095]"), r"zones\[\.*0?"),
        (zone("vlans = [1]") + zone("vlans = [2]"), r"zones\[1\]\.name: there are two"),
        (zone("vlans = [1]") + zone("vlans = [1]", "b"), r"zones\[1\]: VLAN 1 is in zone 'a' already"),
        (zone("vlans = [1]", "<b>"), r"zones\["),
        ('[[zones]]\nname = "a"\nkind = "teacher"', r"zones\["),
        ('[standpoint]\nkind = "ndc"', r"standpoint\.mapping: is required"),
        ('[standpoint]\nmapping = "x.csv"', r"standpoint\.mapping: goes with"),
        ('[standpoint]\nkind = "ndc"\nmapping = "x.csv"\n' + zone("vlans = [1]"), r"zones\[0\]\.vlans: on a path"),
    ],
)
def test_a_wrong_zone_or_standpoint_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"agent\.toml: {said}"):
        load(tmp_path, text)
