"""The settings of each store, as the collector's configuration holds them (``[store.sqlite]`` and so on)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

#: Letters, digits and underscore: no prefix can then be the beginning of another's index names.
Prefix = Annotated[
    str,
    Meta(
        pattern="^[a-z][a-z0-9_]{0,31}$",
        description="First part of every index, alias and template name; lower-case letters, digits and underscore.",
    ),
]


class SqliteSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A directory on a local disk (WAL does not work over a network file system)."""

    directory: Annotated[
        Path, Meta(description="Directory of the database files, on a local disk; made if it is not there.")
    ]
    readers: Annotated[int, Meta(ge=1, le=64, description="Searches that run at the same time.")] = 4
    search_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="A search that takes longer than this is stopped with an error.")
    ] = 30.0


class ElasticsearchSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An Elasticsearch 9 cluster."""

    urls: Annotated[
        tuple[str, ...],
        Meta(min_length=1, description="Addresses of the nodes, such as https://es1.example.nl:9200."),
    ] = ("http://127.0.0.1:9200",)
    prefix: Prefix = "schoolwacht"
    username: Annotated[
        str | None, Meta(description="Account for basic authentication; needs the password as well.")
    ] = None
    password_file: Annotated[
        Path | None,
        Meta(description="File with the password; or the environment variable SCHOOLWACHT_ELASTICSEARCH_PASSWORD."),
    ] = None
    api_key_file: Annotated[
        Path | None,
        Meta(description="File with an encoded API key, in place of an account; or SCHOOLWACHT_ELASTICSEARCH_API_KEY."),
    ] = None
    ca_file: Annotated[
        Path | None, Meta(description="Certificates (PEM) to trust for https, in place of the system's.")
    ] = None
    shards: Annotated[int, Meta(ge=1, le=64, description="Primary shards of each dated index.")] = 1
    replicas: Annotated[
        int, Meta(ge=0, le=8, description="Copies of each shard; at least 1 where there are several nodes.")
    ] = 0
    request_seconds: Annotated[
        float, Meta(gt=0, le=600, description="How long one request may take before it counts as failed.")
    ] = 30.0
    bulk_items: Annotated[int, Meta(ge=1, le=20_000, description="Documents in one bulk request.")] = 2000
    bulk_bytes: Annotated[
        int, Meta(ge=1 << 16, le=64 << 20, description="Size of one bulk request, bytes; one document may exceed it.")
    ] = 8 << 20
    bulk_requests: Annotated[int, Meta(ge=1, le=32, description="Bulk requests in flight at the same time.")] = 2
