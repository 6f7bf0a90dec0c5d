"""Trials from seeds: damage, hostile input, long times. A few in each suite, thousands by `python -m tests.bench trust`."""
