"""Correlation: signals of many sources, hosts and schools as one picture, at the leader (docs/correlation.md)."""
