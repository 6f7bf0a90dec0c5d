"""The engine: what a stage declares, which units are pending, and how they are run, committed and freed."""
