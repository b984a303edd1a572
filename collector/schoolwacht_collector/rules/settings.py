"""The settings of rules: ``[rules]``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from schoolwacht_collector.rules.ruleset import BUDGET_US


class RuleSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[rules]``."""

    directory: Annotated[
        str,
        Meta(description="Folder of Sigma rules; a change is matched within seconds. Empty: the project's own rules."),
    ] = ""
    budget_us: Annotated[
        float,
        Meta(gt=0, description="Microseconds that one rule may take of most events; a slower one is taken out."),
    ] = BUDGET_US
