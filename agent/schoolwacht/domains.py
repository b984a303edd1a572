"""Domain names: the registrable domain by the public suffix list that the package ``publicsuffixlist`` ships.

Source: publicsuffix.org; RFC 8499 for the terms. Answers are kept for the 65,536 names asked last.
"""

from __future__ import annotations

from functools import lru_cache

from publicsuffixlist import PublicSuffixList


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    # Read when the first name comes: it takes a third of the time in which a program starts.
    return PublicSuffixList(accept_unknown=True)


@lru_cache(maxsize=65_536)
def split(name: str) -> tuple[str | None, str | None]:
    """The registrable domain of a name and what stands before it: ``("example.nl", "www")``.

    Both None for a public suffix, a single label, an address, a reverse look-up (``.arpa``) or an empty name.
    """
    name = name.rstrip(".").lower()
    # No top-level domain ends in a digit (RFC 1123): that is an address.
    if "." not in name or name[-1].isdigit() or name.endswith(".arpa"):
        return None, None
    registered = _suffixes().privatesuffix(name)
    if registered is None:
        return None, None
    return registered, name[: -len(registered) - 1] or None
