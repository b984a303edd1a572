"""What can be wrong with a rule book."""

from __future__ import annotations

from schoolwacht.errors import SchoolwachtError


class RulebookError(SchoolwachtError):
    """A rule book that cannot be made, read or used; ``path`` and ``line`` say where."""
