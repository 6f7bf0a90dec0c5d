"""What every room stands on: errors, units, hashes, versions."""
