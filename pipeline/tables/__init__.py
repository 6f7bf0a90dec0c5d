"""The tables of a run, and where they lie."""
