"""Where the project's own rules are: in the installed package, or in the ``rules/`` of a checkout."""

from __future__ import annotations

from pathlib import Path

from schoolwacht.errors import RuleError

_PACKAGE = Path(__file__).resolve().parents[1]
#: A wheel has them inside this package (pyproject.toml, force-include), a checkout beside ``collector/``.
_PLACES = (_PACKAGE / "shipped", _PACKAGE.parents[1] / "rules")


def shipped_rules() -> Path:
    """The folder with ``sigma``, ``correlation``, ``behaviour`` and ``suricata``. Raises RuleError without one."""
    for place in _PLACES:
        if (place / "sigma").is_dir():
            return place
    raise RuleError(f"Schoolwacht's own rules are missing: neither {_PLACES[0]} nor {_PLACES[1]} has any")


def packaged(path: Path) -> bool:
    """Whether a rule file is one of the installed package, which has no captures but those of ``rules/examples``."""
    return path.resolve().is_relative_to(_PLACES[0])
