"""Fields that a rule may name and no event carries: what follows from several fields of one event. Pure.

Sigma compares a field with values, or with one other field; a certificate's names against the server name, or "is this
text an address", it cannot say. Each is a function of the event; None where it cannot be told, which matches nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from functools import lru_cache

from schoolwacht.event import Event


def host_is_address(event: Event) -> bool | None:
    """Whether the HTTP host is an IP address instead of a name."""
    return None if event.url_domain is None else _is_address(event.url_domain)


def self_signed(event: Event) -> bool | None:
    """Whether the certificate names its own subject as its issuer."""
    if event.tls_server_subject is None or event.tls_server_issuer is None:
        return None
    return event.tls_server_subject == event.tls_server_issuer


def name_covered(event: Event) -> bool | None:
    """Whether the certificate is for the server name that the client asked for (RFC 6125: SAN, else common name).

    None without a server name, or without a certificate.
    """
    asked = event.tls_client_server_name
    if asked is None or event.tls_server_subject is None:
        return None
    names = event.tls_server_x509_alternative_names or _common_names(event.tls_server_subject)
    parent = asked.partition(".")[2]
    return any((low := name.lower()) == asked or (parent and low == f"*.{parent}") for name in names)


def _common_names(subject: str) -> list[str]:
    parts = (part.strip() for part in subject.replace("/", ",").split(","))
    return [part[3:].strip() for part in parts if part[:3].upper() == "CN="]


@lru_cache(maxsize=8192)
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


#: Every derived field; all are yes or no.
DERIVED: Mapping[str, Callable[[Event], bool | None]] = {
    "derived.http.host_is_address": host_is_address,
    "derived.tls.self_signed": self_signed,
    "derived.tls.name_covered": name_covered,
}
