"""The web: requests that are fenced in and paced, and what their errors mean."""
