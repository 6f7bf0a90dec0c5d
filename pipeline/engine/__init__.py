"""How the work is run: what a stage declares, and what is done with it."""
