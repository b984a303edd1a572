"""The store: one port, SQLite and Elasticsearch behind it."""
