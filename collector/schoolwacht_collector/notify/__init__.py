"""Notification: an outbox in the store, and one file a kind of target.

``NOTIFIERS`` names the kinds. A new one is a file with a settings struct (tagged with its type) and a ``make``, and
one line here; the outbox and the configuration know only the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from schoolwacht_collector.notify import webhook
from schoolwacht_collector.notify.port import Attempt, Notifier


class NotifierKind(NamedTuple):
    """A kind of target: its settings, and what makes a notifier of them (raises ConfigError)."""

    settings: type[msgspec.Struct]
    make: Callable[[Any], Notifier]


NOTIFIERS: MappingProxyType[str, NotifierKind] = MappingProxyType(
    {
        "webhook": NotifierKind(webhook.WebhookSettings, webhook.make),
    }
)


def make_all(targets: Sequence[msgspec.Struct]) -> list[Notifier]:
    """The targets of ``[[notify]]``, not yet opened. Raises ConfigError."""
    return [NOTIFIERS[str(target.__struct_config__.tag)].make(target) for target in targets]


__all__ = ["NOTIFIERS", "Attempt", "Notifier", "NotifierKind", "make_all"]
