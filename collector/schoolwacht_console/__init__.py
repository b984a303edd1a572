"""The people's side: the pages, the API and the `schoolwacht` command."""
