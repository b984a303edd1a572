r"""Text from the network: valid UTF-8 as it is, anything else with every byte above 127 written as ``\\xNN``.

This is what Suricata's EVE does, so that a name or header reads the same from either engine. (Plain
``decode(errors="backslashreplace")`` differs: it keeps the valid sequences of an otherwise invalid string.)
"""

from __future__ import annotations


def printable(raw: bytes) -> str:
    """Network bytes as text; never raises, loses nothing, and adds at most three characters a byte."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("ascii", "backslashreplace")
