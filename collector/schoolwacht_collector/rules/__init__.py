"""Rules as data: read, checked, compiled, matched, tried on examples (docs/rules.md)."""
