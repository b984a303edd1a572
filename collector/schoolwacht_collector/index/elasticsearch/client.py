"""The connection: which nodes, how it proves who it is, and what its errors are called here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
from elasticsearch import (
    ApiError,
    AsyncElasticsearch,
    ConnectionTimeout,
    JsonSerializer,
    SerializationError,
    TransportError,
)

from schoolwacht.config import secret
from schoolwacht.errors import ConfigError, QueryError, StoreError
from schoolwacht_collector.index.elasticsearch.bulk import explanation
from schoolwacht_collector.index.settings import ElasticsearchSettings

PASSWORD = "SCHOOLWACHT_ELASTICSEARCH_PASSWORD"  # noqa: S105 - the name of a variable
API_KEY = "SCHOOLWACHT_ELASTICSEARCH_API_KEY"

#: Everything that a call of the client can raise for an outage, a refusal or an answer that is none.
FAULTS = (ApiError, TransportError)


_TYPES = ("application/json", "application/vnd.elasticsearch+json")


class _Json(JsonSerializer):
    """Reads an answer ten times as fast as the client's own does: a bulk request has one for each document."""

    def loads(self, data: bytes) -> Any:
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SerializationError(f"the answer is no JSON: {error}", errors=(error,)) from error


def connect(settings: ElasticsearchSettings) -> AsyncElasticsearch:
    """A client; nothing is sent yet. Raises ConfigError for a missing secret or a file that cannot be read."""
    options: dict[str, Any] = {}
    if settings.api_key_file or (not settings.username and os.environ.get(API_KEY)):
        options["api_key"] = secret(
            API_KEY, file=_path(settings.api_key_file), setting="store.elasticsearch.api_key_file"
        )
    elif settings.username:
        password = secret(PASSWORD, file=_path(settings.password_file), setting="store.elasticsearch.password_file")
        options["basic_auth"] = (settings.username, password)
    if settings.ca_file:
        if not Path(settings.ca_file).is_file():
            raise ConfigError("is no file", path=settings.ca_file, field="store.elasticsearch.ca_file")
        options["ca_certs"] = settings.ca_file
    return AsyncElasticsearch(
        list(settings.urls),
        request_timeout=settings.request_seconds,
        # Another node is tried at once if one cannot be reached; an answer, whatever it is, is never asked for twice.
        max_retries=len(settings.urls) - 1,
        retry_on_status=(),
        retry_on_timeout=False,
        serializers=dict.fromkeys(_TYPES, _Json()),
        **options,
    )


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def fault(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, ApiError):
        return f"Elasticsearch answered {error.status_code}: {explanation(_inner(error.body))}"
    return f"Elasticsearch did not answer: {' '.join(str(error).split())[:500]}"


def translated(error: Exception) -> StoreError | QueryError:
    """The error of a search or a record as one of ours."""
    text = fault(error)
    if "Determinizing automaton" in text or "TooComplexToDeterminize" in text:
        return QueryError("the pattern is too complex: use fewer * and ?")
    return StoreError(text)


def status(error: Exception) -> int | None:
    """The HTTP status of an answer, or None where there was none."""
    return error.status_code if isinstance(error, ApiError) else None


def is_overload(error: Exception) -> bool:
    """Whether the cluster has too much to do: it says so, or gives no answer in time."""
    return status(error) in (429, 503) or isinstance(error, ConnectionTimeout)


def _inner(body: Any) -> Any:
    """The error in a response; of a search, the first failure of a shard, which says more."""
    error = body.get("error") if isinstance(body, dict) else body
    if isinstance(error, dict) and (roots := error.get("root_cause")) and isinstance(roots[0], dict):
        return roots[0]
    return error
