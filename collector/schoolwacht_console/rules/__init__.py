"""The ``schoolwacht rules`` commands."""
