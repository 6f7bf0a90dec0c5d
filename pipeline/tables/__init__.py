"""State that survives kills: table kinds, the stores that hold them, locks, opt-out, and the list of a run's folders."""
