"""A run in the paper's terms: its table 1 and figure 2 (Yang et al., ICCV 2025)."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.base.units import CLIP_SIDE_PX, FPS

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.tables.store import Store

DASH = "\u2013"  # where a number is not known
HEADS = ("Data set", "Clips", "Hours", "Resolution", "Speakers", "Speech types", "Mean, s", "Motion annotation")
WHOLE_BODY = "face, body, hands"

# The rows of the paper; the mean length is of its text, or hours by clips.
PUBLISHED = (
    ("CSG-405", "147,550", "405", "512 \u00d7 512", "17,787", "71", "9.9", WHOLE_BODY),
    ("TED-talks", "1,322", "3.1", "384 \u00d7 384", "391", "1", "8.4", DASH),
    ("PATS", "4,800", "13.1", "256 \u00d7 256", "4", "2", "9.8", "body, hands"),
)
AGES = ("0-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70 and more")
# Figure 2b, percent of the clips, as DeepFace estimated them.
OF_THE_PAPER: dict[str, dict[str, float]] = {
    "gender": {"male": 57.8, "female": 42.2},
    "age": {"10-19": 9.31, "20-29": 14.56, "30-39": 47.54, "40-49": 24.65, "50-59": 2.51, "60-69": 1.43},
    "ethnicity": {
        "White": 41.2,
        "Asian": 26.6,
        "Black": 10.6,
        "Latino Hispanic": 9.2,
        "Middle Eastern": 6.9,
        "Indian": 5.7,
    },
    "emotion": {
        "Neutral": 37.7,
        "Angry": 19.2,
        "Sad": 17.3,
        "Happy": 11.9,
        "Fear": 11.3,
        "Surprise": 2.6,
        "Disgust": 0.2,
    },
}


@dataclass(frozen=True)
class Share:
    """One value of an attribute: its share of the clips here and in the paper, percent; None where the paper gives none."""

    value: str
    percent: float
    of_the_paper: float | None


def row(store: "Store", side_px: int = CLIP_SIDE_PX) -> tuple[str, ...]:
    """The run's row of table 1, in the order of `HEADS`; a dash where a number was not measured."""
    samples = _samples(store)
    seconds = float(samples["frames"].sum()) / FPS
    speakers = samples["speaker"].dropna().nunique()
    types = samples["speech_type"].dropna().nunique()
    return (
        store.run.resolve().name,
        f"{len(samples):,}",
        f"{seconds / 3600:,.1f}" if seconds >= 360 else f"{seconds / 3600:.3f}",
        f"{side_px} \u00d7 {side_px}",
        f"{speakers:,}" if speakers else DASH,
        f"{types:,}" if types else DASH,
        f"{seconds / len(samples):.1f}" if len(samples) else DASH,
        WHOLE_BODY if len(samples) else DASH,
    )


def _samples(store: "Store") -> "pd.DataFrame":
    """A row a kept sample: person_id, frames, speech_type, speaker."""
    table = store.read("samples", ["person_id", "video_id", "frames"]).to_pandas()
    videos = store.read("videos", ["video_id", "speech_type"]).to_pandas()
    speakers = store.read("speakers", ["person_id", "speaker"]).to_pandas()
    return table.merge(videos, on="video_id", how="left").merge(speakers, on="person_id", how="left")


def attributes(store: "Store") -> dict[str, list[Share]]:
    """Attribute -> its values by share, most frequent first, ages in order; attributes without data are left out."""
    table = store.read("attributes", ["person_id", "gender", "age_years", "ethnicity", "emotion"]).to_pandas()
    table["age"] = [
        None if years != years else AGES[min(int(years) // 10, len(AGES) - 1)] for years in table["age_years"]
    ]
    distributions = {}
    for name, published in OF_THE_PAPER.items():
        counts = Counter(value for value in table[name] if isinstance(value, str))
        values = {value.casefold(): value for value in (*counts, *published)}  # the paper's spelling wins
        total, shares = sum(counts.values()), []
        for folded, value in values.items():
            count = sum(n for key, n in counts.items() if key.casefold() == folded)
            shares.append(Share(value, 100 * count / max(1, total), published.get(value)))
        order = {age: place for place, age in enumerate(AGES)}
        shares.sort(key=lambda share: (order.get(share.value, 0), -share.percent, share.value))
        if total:
            distributions[name] = shares
    return distributions
