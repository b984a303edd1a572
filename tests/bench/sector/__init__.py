"""The sector simulation: ``python -m tests.bench.sector``."""
