"""The store on one machine: SQLite, a file per day of events and one for the records."""

from schoolwacht_collector.index.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
