"""The nets: where each comes from, which hash it must have, and which are here."""
