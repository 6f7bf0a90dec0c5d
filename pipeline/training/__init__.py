"""Training of the audio-to-skeleton model: shards in, checkpoints out."""


class TrainingError(ValueError):
    """Training cannot begin or go on; the message says why, and what to do."""
