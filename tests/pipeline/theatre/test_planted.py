"""Planted pairs: lengths, noise, head, mouth, arms and sound are what they are said to be, every time, and pass as shards."""

import hashlib
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline.base.units import CLIP_SIDE_PX, SAMPLES_PER_FRAME
from pipeline.metrics.skeletons import limb_lengths
from pipeline.nets.sound.wav2vec import logmel
from pipeline.shards.read import decode_audio, open_shards
from pipeline.skeleton import layout
from pipeline.skeleton.local import from_local
from pipeline.theatre import planted

SPEAKERS = range(20)
SECONDS = 40.0
PICTURE = SAMPLES_PER_FRAME

_DIGEST = """
import hashlib
from pipeline.theatre import planted
found = hashlib.sha256()
for made in planted.clips(range(3, 5), 12, seed=7):
    for array in (made.pair.keypoints.round(6), made.pair.wave, made.pair.envelope.round(9)):
        found.update(array.tobytes())
print(found.hexdigest())
"""


@pytest.fixture(scope="module")
def pairs() -> dict[int, list[planted.Pair]]:
    """Every speaker's clips."""
    return {n: [made.pair for made in planted.clips(range(n, n + 1), SECONDS)] for n in SPEAKERS}


def test_the_numbers_are_the_same_in_another_process_and_others_of_another_seed() -> None:
    ended = subprocess.run([sys.executable, "-c", _DIGEST], capture_output=True, text=True, check=True, timeout=100)

    def digest(seed: int) -> str:
        found = hashlib.sha256()
        for made in planted.clips(range(3, 5), 12, seed=seed):
            for array in (made.pair.keypoints.round(6), made.pair.wave, made.pair.envelope.round(9)):
                found.update(array.tobytes())
        return found.hexdigest()

    assert ended.stdout.strip() == digest(7) != digest(8)


def test_a_speaker_is_the_same_in_any_order() -> None:
    alone = [made.pair for made in planted.clips(range(4, 5), 12)]
    after = [made.pair for made in planted.clips(range(2, 5), 12) if made.speaker == 4]
    assert len(alone) == len(after)
    for one, other in zip(alone, after, strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
        np.testing.assert_array_equal(one.wave, other.wave)


def test_clips_differ_are_whole_pictures_long_and_about_as_many_as_asked(pairs: dict[int, list[planted.Pair]]) -> None:
    for mine in pairs.values():
        lengths = [len(pair.keypoints) for pair in mine]
        assert all(planted.MIN_SECONDS * 25 <= length <= planted.MAX_SECONDS * 25 for length in lengths)
        assert SECONDS - planted.MIN_SECONDS < sum(lengths) / 25 <= SECONDS
        for pair in mine:
            assert len(pair.wave) == PICTURE * len(pair.keypoints) and len(pair.envelope) == len(pair.keypoints)
        for one, other in pairwise(mine):
            assert not np.array_equal(one.keypoints[:100], other.keypoints[:100])


@pytest.mark.parametrize("number", SPEAKERS)
def test_limbs_are_the_speakers_own_within_the_noise(number: int, pairs: dict[int, list[planted.Pair]]) -> None:
    """Noise of s px on both ends makes a length L longer by s^2 / L; a median over thousands of frames is sure to 0.05 px."""
    who = planted.speaker(number)
    found = limb_lengths(np.concatenate([pair.keypoints for pair in pairs[number]]))
    for name, planted_length in (
        ("upper arm", who.upper_arm),
        ("forearm", who.forearm),
        ("shoulders", who.shoulders),
    ):
        assert found[name] == pytest.approx(planted_length, abs=0.15)


def test_speakers_differ_in_every_limb() -> None:
    for name in ("shoulders", "upper_arm", "forearm", "head", "hand", "hips_down"):
        lengths = np.array([getattr(planted.speaker(number), name) for number in SPEAKERS])
        assert np.std(lengths) > 0.06 * lengths.mean(), name
    shares = np.array([planted.speaker(n).upper_arm / planted.speaker(n).shoulders for n in SPEAKERS])
    assert np.ptp(shares) > 0.25, "not only larger and smaller: of other proportions"


def test_the_noise_is_of_the_stated_size_and_differs_from_point_to_point(pairs: dict[int, list[planted.Pair]]) -> None:
    """Shoulders lie level and apart by a known width: what else there is between them is the noise of both."""
    rest = []
    for number, mine in pairs.items():
        for pair in mine:
            apart = pair.keypoints[:, layout.LEFT_SHOULDER] - pair.keypoints[:, layout.RIGHT_SHOULDER]
            rest.append(apart - [planted.speaker(number).shoulders, 0])
    found = np.concatenate(rest)
    assert found.std(0) == pytest.approx(planted.NOISE_PX * np.sqrt(2), rel=0.03)
    assert abs(found.mean(0)).max() < 0.02
    steps = np.diff(pairs[0][0].keypoints[:, layout.LEFT_SHOULDER], 2, axis=0).std()
    assert steps > 0.9 * np.sqrt(6) * planted.NOISE_PX, "new in every picture"


def test_legs_are_not_seen_and_everything_else_is(pairs: dict[int, list[planted.Pair]]) -> None:
    for mine in pairs.values():
        seen = layout.seen(mine[0].keypoints)
        assert not seen[:, layout.LEFT_KNEE : layout.FEET.stop].any()
        assert seen[:, : layout.LEFT_KNEE].all() and seen[:, layout.FEET.stop :].all()
        inside = mine[0].keypoints[seen]
        assert inside.min() > 0 and inside.max() < CLIP_SIDE_PX


@pytest.mark.parametrize("number", SPEAKERS)
def test_the_mouth_opens_with_the_envelope(
    number: int, pairs: dict[int, list[planted.Pair]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly as one, but for the noise, which hides a part of a small mouth's way."""
    opening = np.concatenate([planted.mouth_opening(pair.keypoints) for pair in pairs[number]])
    envelope = np.concatenate([pair.envelope for pair in pairs[number]])
    assert np.corrcoef(opening, envelope)[0, 1] > 0.92
    monkeypatch.setattr(planted, "NOISE_PX", 0.0)
    who = planted.speaker(number)
    clean = planted.pair(who, 8, [number])
    way = planted.mouth_opening(clean.keypoints)
    assert np.corrcoef(way, clean.envelope)[0, 1] > 0.995
    full = planted.OPEN_HEAD_UNITS * who.mouth_gain * who.head * np.ptp(clean.envelope)
    assert np.ptp(way) == pytest.approx(full, rel=0.05)


def test_mouths_and_envelopes_go_together_over_all(pairs: dict[int, list[planted.Pair]]) -> None:
    each = [
        np.corrcoef(planted.mouth_opening(pair.keypoints), pair.envelope)[0, 1]
        for mine in pairs.values()
        for pair in mine
    ]
    assert np.mean(each) > 0.95
    mixed = np.corrcoef(planted.mouth_opening(pairs[0][0].keypoints)[:120], pairs[1][0].envelope[:120])[0, 1]
    assert abs(mixed) < 0.5, "another's voice does not move it"


@pytest.mark.parametrize("number", SPEAKERS)
def test_the_head_moves_at_least_five_times_as_far_as_the_mouth_opens(
    number: int, pairs: dict[int, list[planted.Pair]]
) -> None:
    points = np.concatenate([pair.keypoints for pair in pairs[number]])
    neck = (points[:, layout.LEFT_SHOULDER] + points[:, layout.RIGHT_SHOULDER]) / 2
    way = np.sqrt((points[:, layout.NOSE] - neck).var(0).sum())
    assert way > 5 * planted.mouth_opening(points).std()


def test_arms_move_with_the_voice_beat(pairs: dict[int, list[planted.Pair]]) -> None:
    """Elbows are lifted where the sound is loud for long; a model that hears nothing cannot know when."""
    found = []
    for mine in pairs.values():
        for pair in mine:
            beat = np.convolve(pair.envelope, np.hanning(21) / np.hanning(21).sum(), mode="same")
            lift = pair.keypoints[:, layout.LEFT_SHOULDER, 1] - pair.keypoints[:, layout.LEFT_ELBOW, 1]
            found.append(np.corrcoef(lift, beat)[0, 1])
    assert 0.25 < np.mean(found) < 0.9


def test_the_wave_is_as_loud_as_the_envelope_says(pairs: dict[int, list[planted.Pair]]) -> None:
    """Measured: root mean square of the 25 ms about the moment of each picture."""
    for mine in pairs.values():
        for pair in mine:
            assert 0.3 < np.abs(pair.wave).max() <= 0.51
            power = np.convolve(pair.wave.astype(float) ** 2, np.full(400, 1 / 400), mode="same")[::PICTURE]
            assert np.corrcoef(np.sqrt(power), pair.envelope)[0, 1] > 0.99
            assert pair.envelope.min() >= 0 and pair.envelope.max() <= 1
            assert (pair.envelope < 0.02).mean() > 0.05, "there are pauses"


SPLITS = {"train": range(3), "validation": range(3, 4), "test": range(4, 6)}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    folder = tmp_path_factory.mktemp("planted") / "shards"
    return folder, planted.write(folder, SPLITS, 11)


def test_rows_come_back_from_the_shards(written: tuple[Path, dict[str, float]]) -> None:
    folder, hours = written
    for split, numbers in SPLITS.items():
        rows = list(open_shards(folder, split).rows())
        made = list(planted.clips(numbers, 11))
        assert len(rows) == len(made) == len(open_shards(folder, split)) > 0
        assert hours[split] * 3600 == pytest.approx(sum(len(one.pair.envelope) for one in made) / 25)
        for row, one in zip(rows, made, strict=True):
            pair = one.pair
            assert row["frames"] == len(pair.envelope) and row["fps"] == 25
            np.testing.assert_allclose(row["keypoints"], pair.keypoints, atol=1 / 128 + 1e-4)
            np.testing.assert_array_equal(from_local(row["local"], row["neck"]), row["keypoints"])
            np.testing.assert_array_equal(row["scores"] > 0.5, layout.seen(pair.keypoints))
            np.testing.assert_allclose(decode_audio(row["audio"]), pair.wave, atol=1 / 32768)
            assert row["audio_features_of"] == "logmel768"
            np.testing.assert_allclose(row["audio_features"], logmel(pair.wave, row["frames"]), atol=0.01)


def test_speakers_of_different_splits_share_no_video(written: tuple[Path, dict[str, float]]) -> None:
    folder, _ = written
    videos = {split: {row["video_id"] for row in open_shards(folder, split).rows(("video_id",))} for split in SPLITS}
    assert {split: len(found) for split, found in videos.items()} == {s: len(numbers) for s, numbers in SPLITS.items()}
    assert len(set.union(*videos.values())) == sum(map(len, SPLITS.values()))
    clips = [row["clip_id"] for row in open_shards(folder).rows(("clip_id",))]
    assert len(set(clips)) == len(clips)
