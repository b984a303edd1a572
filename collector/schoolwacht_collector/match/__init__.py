"""Matching at intake: indicators against every event."""
