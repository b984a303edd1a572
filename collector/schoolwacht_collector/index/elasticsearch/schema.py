"""Which version of the schema a cluster has, and what that means for this collector.

Version 1 had no number in its templates; 2 has. Indices of days are never rewritten: they keep the mapping they were
made with (new fields are added to them) until they expire, and a search reads all of them alike. So a migration changes
templates and the indices of records only, takes seconds, and loses nothing if it is broken off: the number is written
with the templates, and every step can be made again.
"""

from __future__ import annotations

from typing import NamedTuple

from elasticsearch import AsyncElasticsearch, NotFoundError

from schoolwacht.errors import StoreError
from schoolwacht_collector.index.elasticsearch import templates


class Found(NamedTuple):
    """What the templates of a cluster say: the schema's number and the name of their state."""

    schema: int
    version: str


async def found(client: AsyncElasticsearch, prefix: str) -> Found | None:
    """What is there, None if nothing is. Raises the client's errors."""
    try:
        answer = await client.cluster.get_component_template(name=templates.common_name(prefix))
    except NotFoundError:
        return None
    meta = answer["component_templates"][0]["component_template"].get("_meta", {})
    return Found(int(meta.get("schema", 1)), str(meta.get("version")))


def check(there: Found | None, prefix: str, version: str) -> None:
    """Raises StoreError, with the way out, unless a collector with templates of ``version`` can use the cluster."""
    if there is None:
        raise StoreError(f"the templates of {prefix} are not there: run schoolwacht-collector init")
    _not_later(there, prefix)
    if there.schema < templates.SCHEMA:
        raise StoreError(
            f"{prefix} has schema {there.schema}, this version needs {templates.SCHEMA}: stop the other collectors and"
            " run schoolwacht-collector migrate"
        )
    if there.version != version:
        raise StoreError(f"the templates of {prefix} are of another version: run schoolwacht-collector init")


def check_before_change(there: Found | None, prefix: str, *, migrate: bool) -> None:
    """Raises StoreError unless templates may be put: never over a later schema, over an earlier only if meant."""
    if there is None:
        return
    _not_later(there, prefix)
    if there.schema < templates.SCHEMA and not migrate:
        raise StoreError(
            f"{prefix} has schema {there.schema}, this version makes {templates.SCHEMA}: run schoolwacht-collector"
            " migrate"
        )


def _not_later(there: Found, prefix: str) -> None:
    if there.schema > templates.SCHEMA:
        raise StoreError(
            f"{prefix} has schema {there.schema}, made by a later version; this one knows {templates.SCHEMA}: install"
            " that version here too, or restore a snapshot from before under another prefix"
        )
