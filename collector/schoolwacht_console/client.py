"""The API as the command line calls it: plain HTTP from the standard library, faults as errors with a way out."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from schoolwacht.errors import SchoolwachtError
from schoolwacht_console.api import PREFIX
from schoolwacht_console.body import JSON

DEFAULT_URL = "http://127.0.0.1:8480"
#: Rows asked for at once; a longer list is read page by page.
PAGE = 500
_SECONDS = 60.0


class UnreachableError(SchoolwachtError):
    """Nothing answers where the collector should be."""


class RefusedError(SchoolwachtError):
    """The collector answered that it will not. ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str, *, field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.status = status


class Client:
    """Calls to one collector's console, one at a time.

    Raises UnreachableError and RefusedError from every method.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            # Both raise ValueError where there is no such thing.
            known = bool(parts.hostname and parts.hostname.encode("idna")) and parts.port != 0
        except ValueError:
            known = False
        if not known or parts.scheme not in _CONNECTIONS:
            raise RefusedError(0, f"{url!a} is no address of a console; write {DEFAULT_URL}", field="--url")
        self._url = url.rstrip("/")
        self._scheme = parts.scheme
        self._host = parts.netloc
        self._base = parts.path.rstrip("/")

    def get(self, path: str, parameters: Mapping[str, object] | None = None) -> Any:
        """The answer to a call below ``/api/v1``; parameters that are None or empty are left out."""
        given = {name: str(value) for name, value in (parameters or {}).items() if value not in (None, "")}
        return self._call("GET", f"{path}?{urlencode(given)}" if given else path, None)

    def post(self, path: str, body: object) -> Any:
        """The answer to a call with a body."""
        return self._call("POST", path, json.dumps(body))

    def pages(
        self, path: str, parameters: Mapping[str, object], member: str, *, limit: int, beside: str = ""
    ) -> Iterator[dict[str, Any]]:
        """Up to ``limit`` items of a list, page by page; ``member`` is their name in the answer.

        ``beside`` names a member with more about each by its id; that is put into the item, as ``beside.NAME``.

        What the store could not read is told on standard error, once.
        """
        after: str | None = None
        told: set[str] = set()
        while limit > 0:
            answer = self.get(path, {**parameters, "limit": min(limit, PAGE), "after": after})
            items: list[dict[str, Any]] = answer[member]
            for name in set(answer.get("missing", ())) - told:
                told.add(name)
                print(f"{name} is damaged: rows of it may be lacking", file=sys.stderr)
            more = answer[beside] if beside else {}
            for item in items[:limit]:
                yield item | {f"{beside}.{name}": value for name, value in more.get(item.get("id"), {}).items()}
            limit -= len(items)
            after = answer["next"]
            if after is None:
                return

    def _call(self, method: str, path: str, body: str | None) -> Any:
        connection = _CONNECTIONS[self._scheme](self._host, timeout=_SECONDS)
        headers = {"Accept": JSON} | ({"Content-Type": JSON} if body is not None else {})
        try:
            connection.request(method, f"{self._base}{PREFIX}{path}", body=body, headers=headers)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(
                f"no console answers at {self._url} ({error}); start a collector with "
                "'schoolwacht-collector serve --config FILE' (or 'schoolwacht demo'), or name another with --url "
                "or SCHOOLWACHT_URL"
            ) from error
        finally:
            connection.close()
        try:
            value = json.loads(data)
        except ValueError as error:
            raise RefusedError(answer.status, f"{self._url} answers, but it is no Schoolwacht console") from error
        if answer.status != 200:
            raise _refusal(answer.status, value)
        return value


_CONNECTIONS: Mapping[str, type[http.client.HTTPConnection]] = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}


def segment(text: str) -> str:
    """``text`` as one segment of a path."""
    return quote(text, safe="")


def _refusal(status: int, value: Any) -> RefusedError:
    if not isinstance(value, dict):
        return RefusedError(status, f"the console answered {status}")
    message = str(value.get("detail") or value.get("title") or f"the console answered {status}")
    if "column" in value:
        message = f"column {value['column']}: {message}"
    return RefusedError(status, message, field=value.get("field"))
