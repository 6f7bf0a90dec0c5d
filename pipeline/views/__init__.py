"""Views: what commands and pages show of a run, such as the funnel, table 1 and availability."""
