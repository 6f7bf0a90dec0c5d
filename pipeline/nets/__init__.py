"""Nets behind typed interfaces; none knows of tables, stages or runs, so that each works from a notebook."""
