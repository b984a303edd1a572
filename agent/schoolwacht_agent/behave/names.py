"""Which server a conversation was with: the TLS or QUIC server name, told again when its flow ends.

Memory: about 0.35 kB a conversation, of the 16,384 named last.
"""

from __future__ import annotations

from schoolwacht.event import Dataset, Event

LIMIT = 16_384
DATASETS = frozenset({Dataset.TLS, Dataset.QUIC})


class ServerNames:
    """Server names by conversation (Community ID). One detector lets it hear, others may ask."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self.evicted = 0

    def hear(self, event: Event) -> None:
        """Take in a TLS or QUIC event."""
        conversation, name = event.network_community_id, event.tls_client_server_name
        if conversation is None or name is None:
            return
        self._names[conversation] = name
        if len(self._names) > LIMIT:
            del self._names[next(iter(self._names))]
            self.evicted += 1

    def of(self, event: Event) -> str | None:
        """The server name of a flow's conversation, if it had one."""
        conversation = event.network_community_id
        return self._names.get(conversation) if conversation is not None else None

    def __len__(self) -> int:
        return len(self._names)
