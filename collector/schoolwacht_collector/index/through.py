"""A search read through to its last page."""

from __future__ import annotations

from collections.abc import AsyncIterator

from schoolwacht_collector.index.port import Row, Search, Store


async def pages(store: Store, search: Search) -> AsyncIterator[list[Row]]:
    """The rows of a search page by page, ``search.limit`` each; the last may be empty. Raises StoreError."""
    while True:
        page = await store.search(search)
        yield page.rows
        if page.next is None:
            return
        search = search._replace(after=page.next)


async def rows(store: Store, search: Search) -> AsyncIterator[Row]:
    """All rows of a search, read ``search.limit`` at a time. Raises StoreError."""
    async for some in pages(store, search):
        for row in some:
            yield row
