"""What protects the console's users from pages of others, and the pages from what the network says.

- Every answer carries a strict content security policy: nothing inline, nothing from elsewhere, no framing.
- The ``Host`` header must name this console, or a page of somebody else could rebind its own name to our address
  and read everything (DNS rebinding).
- A request that changes something must come from our own page (``Sec-Fetch-Site``, else ``Origin``) or from no browser
  at all: browsers always send one of the two across origins. This holds for forms and for the API.

There are no accounts yet: whoever reaches the listener may read and triage, which is why it listens on loopback unless
told otherwise.
Source: OWASP ASVS 5.0 3.4 and 3.5, CSP Level 3, Fetch Metadata Request Headers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from schoolwacht_console.problem import Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_POLICY = {
    "default-src": "'none'",
    "style-src": "'self'",
    "script-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
CONTENT_SECURITY_POLICY = "; ".join(f"{directive} {sources}" for directive, sources in _POLICY.items())
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """The security headers, on whatever is answered (an ``on_response_prepare`` signal)."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")


def only_hosts(hosts: Collection[str]) -> Middleware:
    """A middleware that answers only requests for loopback or one of ``hosts`` (names or addresses, without port)."""
    known = frozenset(host.lower().strip("[]").rstrip(".") for host in hosts)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = host_name(request.headers.get("Host", ""))
        if name is None or not (name in known or is_loopback(name)):
            raise Problem(
                421,
                "this console does not answer under that name; open it by its address or add the name to its "
                "configuration",
            )
        return await handler(request)

    return check


@web.middleware
async def only_own_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a change that a page of somebody else asks for."""
    if request.method not in _SAFE_METHODS and not comes_from_here(
        request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin"), request.headers.get("Host", "")
    ):
        raise Problem(403, "this change was asked for by a page that is not the console's; open the console itself")
    return await handler(request)


def comes_from_here(fetch_site: str | None, origin: str | None, host: str) -> bool:
    """Whether a request comes from our own page, or from no browser (which sends neither header)."""
    if fetch_site is not None:
        return fetch_site == "same-origin"
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def host_name(header: str) -> str | None:
    """The name or address in a ``Host`` header, lower case, without port and brackets; None if it is none."""
    try:
        parts = urlsplit(f"//{header}")
        name = parts.hostname
        _ = parts.port
    except ValueError:
        return None
    if not name or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return name.rstrip(".")


def is_loopback(name: str) -> bool:
    """Whether a host name can mean nothing but this machine (RFC 6761: ``localhost`` and below it)."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
