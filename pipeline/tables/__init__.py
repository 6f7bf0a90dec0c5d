"""State that survives anything: what kinds of rows there are, how they are stored, and what a run folder holds."""
