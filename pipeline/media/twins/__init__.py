"""Whether two sounds are the same footage: candidates among many, what two have in common, and from when on that is enough."""
