"""The query language: Lucene syntax into one AST, and the AST into each store's own language."""
