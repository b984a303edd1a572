"""The settings of each store, as the collector's configuration holds them (``[store.sqlite]`` and so on)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class SqliteSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[store.sqlite]``."""

    directory: Annotated[
        str,
        Meta(
            description="Directory of the SQLite files, on a local disk; the folder store in the state directory if "
            "empty."
        ),
    ] = ""
    readers: Annotated[int, Meta(ge=1, le=64, description="Searches that run at the same time.")] = 4
    search_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="A search that takes longer than this is stopped with an error.")
    ] = 30.0
    busy_seconds: Annotated[
        float,
        Meta(gt=0, le=60, description="How long a write waits for another process that is writing the same file."),
    ] = 5.0


class ElasticsearchSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[store.elasticsearch]``: a cluster of version 9."""

    urls: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^https?://[^/\s]+/?$")], ...],
        Meta(min_length=1, description="URLs of the Elasticsearch nodes."),
    ] = ("http://127.0.0.1:9200",)
    # No hyphen: no prefix can then be the beginning of another's index names.
    prefix: Annotated[
        str, Meta(pattern=r"^[a-z][a-z0-9]{0,31}$", description="First part of the name of every index and template.")
    ] = "schoolwacht"
    username: Annotated[str, Meta(description="Account for basic authentication; no authentication if empty.")] = ""
    password_file: Annotated[
        str,
        Meta(
            description="File (mode 0600) with the account's password, unless the environment variable "
            "SCHOOLWACHT_ELASTICSEARCH_PASSWORD has it."
        ),
    ] = ""
    api_key_file: Annotated[
        str, Meta(description="File (mode 0600) with an encoded API key, used in place of an account.")
    ] = ""
    ca_file: Annotated[str, Meta(description="Certificates (PEM) to trust for https, in place of the system's.")] = ""
    shards: Annotated[int, Meta(ge=1, le=64, description="Primary shards of each new dated index.")] = 1
    replicas: Annotated[
        int, Meta(ge=0, le=8, description="Copies of each shard; at least 1 where there are several nodes.")
    ] = 0
    refresh_seconds: Annotated[
        int,
        Meta(ge=1, le=60, description="Seconds after which a stored event is found by searches; signals: always 1."),
    ] = 5
    request_seconds: Annotated[
        float, Meta(gt=0, le=600, description="How long one request may take before it counts as failed.")
    ] = 30.0
    bulk_items: Annotated[int, Meta(ge=1, le=20_000, description="Most documents in one bulk request.")] = 5000
    bulk_bytes: Annotated[
        int,
        Meta(ge=1 << 16, le=64 << 20, description="Size of one bulk request, bytes; a single document may exceed it."),
    ] = 8 << 20
    bulk_requests: Annotated[int, Meta(ge=1, le=32, description="Most bulk requests in flight at once.")] = 2
