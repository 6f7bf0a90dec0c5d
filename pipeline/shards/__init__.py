"""Shards: their format, how they are written and read, how people are removed from them, and releases."""
