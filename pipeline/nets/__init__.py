"""Nets behind typed interfaces; none knows of tables, stages or runs, so each works from a notebook."""
