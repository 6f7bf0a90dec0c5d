"""Training of the audio-to-skeleton model: shards in, checkpoints out."""

from pipeline.base.errors import UserError


class TrainingError(UserError, ValueError):
    """Raised when training cannot start or resume; the message says why, and what to do."""
