"""What is read out of a run: the funnel, table 1, availability."""
