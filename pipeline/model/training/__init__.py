"""Training of the audio-to-skeleton model: shards in, checkpoints out."""

from pipeline.base.errors import UserError


class TrainingError(UserError, ValueError):
    """Training cannot begin or go on; the message says why, and what to do."""
