"""The commands of `csg405`, and how they talk to a terminal."""
