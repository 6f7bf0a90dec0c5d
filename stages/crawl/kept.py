"""The fingerprints of works that were taken down, as a crawl's workers are given them."""

from pathlib import Path

from pipeline.tables import takedowns

GIVEN = "kept_sounds"  # of `Context.given`: {day and first digits of the hash: fingerprint}
SOUND_OF = "chromaprint-1"  # what they are compared with


def kept_sounds(run: Path) -> dict[str, dict[str, bytes]]:
    """What the ledger of a run keeps, as a part of `Context.given`. Raises TakedownError where it does not read."""
    kept = [one for one in takedowns.kept_sounds(run) if one.sound_of == SOUND_OF]
    return {GIVEN: {f"{one.date} ({one.mark[:8]})": one.sound for one in kept}} if kept else {}
