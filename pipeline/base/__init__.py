"""What every room stands on: errors, reasons, units, array types, ids, links, hashes, atomic files, progress."""
