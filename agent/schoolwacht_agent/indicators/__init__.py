"""The indicators of the agent: kept in one file, matched in the line, fetched from the collector.

One process keeps the file (:mod:`.keep`: the forwarder, or the command ``indicators load``), another reads it
(:mod:`.table`) and matches with it (:mod:`.match`). They meet only in the file, which is replaced whole.
"""
