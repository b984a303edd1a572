"""The demo's manifest, read and checked: which schools there are and what each one's agent plays.

Its format is described in :mod:`schoolwacht_console.demo`.
"""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from schoolwacht import config
from schoolwacht.errors import ConfigError

MANIFEST = "demo.toml"
#: Home networks of a capture about which nothing is known: private, shared, link-local and unique-local ranges.
PRIVATE_NETWORKS = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
)

_Location = Annotated[str, Meta(pattern=r"^\d{2}[A-Z]{2}\d{2}$", description="Vestiging, such as 00AA00.")]


class _Board(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    id: Annotated[str, Meta(min_length=1)]
    name: Annotated[str, Meta(min_length=1)]


class _School(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    location: _Location
    name: Annotated[str, Meta(min_length=1)]
    board: str
    home: Annotated[list[str], Meta(min_length=1)]
    captures: Annotated[list[str], Meta(min_length=1)]


class _Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    indicators: list[str] = msgspec.field(default_factory=list)
    board: Annotated[list[_Board], Meta(min_length=1)]
    school: Annotated[list[_School], Meta(min_length=1)]


class Player(NamedTuple):
    """One school of the demo and what its agent plays. ``agent`` is the name under which the agent enrols."""

    agent: str
    location: str
    name: str
    board: str
    board_name: str
    home: tuple[str, ...]
    captures: tuple[Path, ...]


class Scenario(NamedTuple):
    """What one demo plays."""

    players: tuple[Player, ...]
    indicators: tuple[Path, ...]


def load(directory: Path) -> Scenario:
    """The scenario in ``directory``. Raises ConfigError naming the manifest and the setting at fault."""
    path = directory / MANIFEST
    manifest = config.load(path, _Manifest)
    boards = {board.id: board.name for board in manifest.board}
    players = tuple(_player(school, boards, path, f"school[{place}]") for place, school in enumerate(manifest.school))
    if len({player.location for player in players}) != len(players):
        raise ConfigError("a location occurs twice", path=str(path), field="school.location")
    return Scenario(players, tuple(_existing(directory, name, path, "indicators") for name in manifest.indicators))


def visitor(capture: Path) -> Player:
    """The user's own capture as one more school, of a board of its own; its home networks are the private ranges."""
    return Player(
        agent="your-capture",
        location="99ZZ00",
        name=f"Your capture ({capture.name})",
        board="99999",
        board_name="Your own board",
        home=PRIVATE_NETWORKS,
        captures=(capture,),
    )


def _player(school: _School, boards: dict[str, str], path: Path, place: str) -> Player:
    if school.board not in boards:
        raise ConfigError(f"no [[board]] has the id {school.board!r}", path=str(path), field=f"{place}.board")
    for network in school.home:
        try:
            ip_network(network)
        except ValueError as error:
            raise ConfigError(f"no network: {error}", path=str(path), field=f"{place}.home") from error
    return Player(
        agent=f"school-{school.location.lower()}",
        location=school.location,
        name=school.name,
        board=school.board,
        board_name=boards[school.board],
        home=tuple(school.home),
        captures=tuple(_existing(path.parent, name, path, f"{place}.captures") for name in school.captures),
    )


def _existing(directory: Path, name: str, path: Path, field: str) -> Path:
    found = directory / name
    if not found.is_file():
        raise ConfigError(f"{name} is not there", path=str(path), field=field)
    return found
