"""Shards and releases: what is published, how it is written, read, and taken back."""
