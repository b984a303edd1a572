"""Where the project's own signatures are: in the installed package, or in the ``rules/`` of a checkout."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from schoolwacht.errors import SourceError

_AGENT = Path(__file__).resolve().parents[2]
#: A wheel has them inside the agent's package (pyproject.toml, force-include), a checkout beside ``agent/``.
_PLACES = (_AGENT / "rules" / "suricata", _AGENT.parents[1] / "rules" / "suricata")


def own_rules() -> list[Path]:
    """The project's own rule files, by name. Raises SourceError if the installation lacks them."""
    for place in _PLACES:
        found = sorted(place.glob("*.rules"))
        if found:
            return found
    raise SourceError(f"Schoolwacht's own signatures are missing: neither {_PLACES[0]} nor {_PLACES[1]} has any")


def rule_files(own: bool, others: Iterable[str]) -> list[Path]:
    """The files to load, absolute: the project's own if wanted, then the configured ones.

    Raises SourceError naming a configured file that cannot be read; Suricata itself only warns of some of these.
    """
    chosen = own_rules() if own else []
    for place, name in enumerate(others):
        path = Path(name).resolve()
        try:
            path.open("rb").close()
        except OSError as error:
            raise SourceError(
                f"cannot be read: {error.strerror}", path=str(path), field=f"source.suricata.rules[{place}]"
            ) from error
        chosen.append(path)
    return chosen
