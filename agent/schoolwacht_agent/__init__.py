"""The agent at a school: captures, normalises, keeps on disk and sends."""
