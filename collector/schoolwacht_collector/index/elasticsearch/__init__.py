"""The store at scale: Elasticsearch 9, dated indices behind two aliases, and an index per kind of record."""

from schoolwacht_collector.index.elasticsearch.store import ElasticsearchStore

__all__ = ["ElasticsearchStore"]
