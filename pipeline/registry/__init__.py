"""The registry of nets: source, licence and hash of each, where it lies on this machine, and its download."""
