"""The central rule book: Suricata's signatures of others, fetched and checked once for all agents, and our own on top.

::

    sources ─► fetch (pin, checksum) ─► build (suricata-update) ─► check (suricata -T) ─► guard, diff ─► shelf (bundle)
"""
