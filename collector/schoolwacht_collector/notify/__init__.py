"""Notification: an outbox in the store, and one file a kind of target."""
