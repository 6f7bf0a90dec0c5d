"""The segmentation net: powerset, windows and scores against pyannote's own; no real weights are at hand, so no accuracy."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.base.units import SAMPLE_RATE
from pipeline.nets.session import open_session
from pipeline.nets.sound.segmentation import (
    SegmentationNet,
    bits_of,
    powerset,
    to_multilabel,
    two_highest,
    window_count,
)
from pipeline.nets.sound.voices import FRAME_STEP, Voices
from tests.pipeline.nets.fakes import ROOT, FakeSession, asset
from tests.pipeline.nets.sound.little_pyannet import export, pyannote, random_net, save_checkpoint

CLASSES = ([], [1], [2], [3], [1, 2], [1, 3], [2, 3])
# Shorter than a window, one window, one more step, ends on and beside the grid of frames, three and more windows.
LENGTHS = (1, 5000, 27_000, 160_000, 161_350, 170_000, 176_000, 189_000, 480_001)


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    soundfile = pytest.importorskip("soundfile")
    found, rate = soundfile.read(asset("audio/pyannote_tst00.wav"), dtype="float32")
    assert rate == SAMPLE_RATE
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """One random net as torch module, checkpoint and ONNX."""
    folder, net = tmp_path_factory.mktemp("segmentation"), random_net()
    return SimpleNamespace(
        net=net, onnx=export(net, folder / "n.onnx"), checkpoint=save_checkpoint(net, folder / "n.bin")
    )


def planted(answer=None, source=("N", 1, "T"), result=("N", "F", 7)) -> FakeSession:
    """A session that says what it is told: speaker 1 where the sound is above 0.1, speakers 1 and 2 above 0.3."""

    def says(x: np.ndarray) -> list[np.ndarray]:
        level = x[:, 0, 495 : 495 + 589 * FRAME_STEP : FRAME_STEP]  # at the frames' middles
        chosen = np.where(level > 0.3, 4, np.where(level > 0.1, 1, 0))
        return [np.log(np.eye(7, dtype=np.float32)[chosen] * 0.9 + 0.1 / 7)]

    session = FakeSession(answer or says, source)
    session._outputs[0].shape = list(result)
    return session


@pytest.mark.slow
def test_the_powerset_in_pyannotes_order() -> None:
    assert [[k + 1 for k in np.flatnonzero(row)] for row in powerset()] == [list(c) for c in CLASSES]
    pyannote()
    import torch
    from pyannote.audio.utils.powerset import Powerset

    theirs = Powerset(3, 2)
    scores = torch.log_softmax(torch.randn(4, 50, 7, generator=torch.Generator().manual_seed(1)) * 3, -1)
    for soft in (False, True):
        wanted = theirs.to_multilabel(scores, soft=soft).numpy()
        np.testing.assert_allclose(to_multilabel(scores.numpy(), soft=soft), wanted, atol=1e-6)


def test_of_equal_classes_the_first_counts() -> None:
    assert not to_multilabel(np.zeros((1, 7))).any()
    assert to_multilabel(np.array([-9, -1, -1, -1, -1, -1, -1.0])).tolist() == [1, 0, 0]


def test_some_voice_and_two_voices() -> None:
    activity = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 1], [0.2, 0.9, 0.6]])
    assert two_highest(activity).tolist() == [[0, 0], [1, 0], [1, 1], [0.9, 0.6]]
    assert bits_of(activity).tolist() == [0, 2, 5, 6]


@pytest.mark.parametrize(("samples", "count"), [(1, 1), (160_000, 1), (160_001, 2), (176_000, 2), (176_001, 3)])
def test_windows(samples: int, count: int) -> None:
    assert window_count(samples, 160_000, SAMPLE_RATE) == count
    session = planted()
    heard = SegmentationNet(session, batch=2).hear(np.full(samples, 0.2, np.float32))
    assert sum(len(run) for run in session.runs) == count == len(heard.speaking)
    assert max(len(run) for run in session.runs) <= 2
    last = session.runs[-1][-1, 0]
    inside = samples - (count - 1) * SAMPLE_RATE
    assert (last[:inside] == np.float32(0.2)).all() and not last[inside:].any()  # zeros after the end, and there alone


@pytest.mark.parametrize("soft", [False, True])
def test_planted_sound_is_found_where_it_is(soft: bool) -> None:
    sound = np.full(25 * SAMPLE_RATE + 77, 0.2, np.float32)
    sound[7 * SAMPLE_RATE : 9 * SAMPLE_RATE] = 0.5
    sound[20 * SAMPLE_RATE :] = 0.0
    heard = SegmentationNet(planted(), soft=soft).hear(sound)
    assert heard.scores.shape == (len(sound) // FRAME_STEP + 1, 2) and heard.scores.dtype == np.float32
    times = (np.arange(len(heard.scores)) * FRAME_STEP + 495) / SAMPLE_RATE
    alone, both, silent = ((times > a) & (times < b) for a, b in ((9.02, 19.9), (7.02, 8.98), (20.1, 25)))
    assert (heard.scores[alone, 0] > 0.9).all() and (heard.scores[alone, 1] < 0.1).all()
    assert (heard.scores[both] > 0.9).all() and (heard.scores[silent] < 0.1).all()
    assert heard.count(0, 20, 0.5) == 2 and heard.count(10, 20, 0.5) == 1 and heard.count(20.1, 25, 0.1) == 0


@pytest.mark.parametrize(
    ("source", "result"),
    [
        (("N", 2, "T"), ("N", "F", 7)),
        (("N", "T"), ("N", "F", 7)),
        (("N", 1, 160_000), ("N", 589, 3)),
        (("N", 1, 160_000), ("N", 600, 7)),
        (("N", 1, 900), ("N", "F", 7)),
    ],
)
def test_other_models_are_refused(source: tuple, result: tuple) -> None:
    with pytest.raises(ValueError, match=r"not segmentation-3\.0"):
        SegmentationNet(planted(source=source, result=result))
    with pytest.raises(ValueError, match="2 outputs"):
        SegmentationNet(FakeSession(lambda x: [], ("N", 1, "T"), outputs=2))


def test_bad_answers_steps_and_waves_are_refused() -> None:
    sound = np.zeros(SAMPLE_RATE, np.float32)
    with pytest.raises(ValueError, match=r"returns \(1, 588, 7\)"):
        SegmentationNet(planted(lambda x: [np.zeros((len(x), 588, 7), np.float32)])).hear(sound)
    with pytest.raises(ValueError, match="NaN"):
        SegmentationNet(planted(lambda x: [np.full((len(x), 589, 7), np.nan, np.float32)])).hear(sound)
    for bad in (np.zeros((2, SAMPLE_RATE), np.float32), np.zeros(0, np.float32)):
        with pytest.raises(ValueError, match="samples"):
            SegmentationNet(planted()).hear(bad)
    for step in (0, 10.5):
        with pytest.raises(ValueError, match="gaps"):
            SegmentationNet(planted(), step_seconds=step)


class Torch(FakeSession):
    """The same net, run by torch."""

    def __init__(self, net) -> None:
        import torch

        def answer(x: np.ndarray) -> list[np.ndarray]:
            with torch.inference_mode():
                return [net(torch.from_numpy(x.copy())).numpy()]

        super().__init__(answer, ("N", 1, 160_000))
        self._outputs[0].shape = ["N", 589, 7]


def theirs(net, wave: np.ndarray, soft: bool) -> np.ndarray:
    """(F, 2) by pyannote's Inference as its users would ask for it."""
    import torch

    columns = []
    for rank in (-1, -2):

        def ranked(scores: np.ndarray, rank: int = rank) -> np.ndarray:
            activity = to_multilabel(scores, soft=True) if soft else scores
            return np.sort(activity, axis=-1)[..., rank, np.newaxis]

        run = pyannote().Inference(net, duration=10, step=1, skip_conversion=soft, pre_aggregation_hook=ranked)
        columns.append(run({"waveform": torch.from_numpy(wave.copy())[None], "sample_rate": SAMPLE_RATE}).data)
    return np.concatenate(columns, axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("soft", [False, True])
def test_scores_are_pyannotes(files: SimpleNamespace, wave: np.ndarray, soft: bool) -> None:
    by_torch = SegmentationNet(Torch(files.net), soft=soft)
    by_onnx = SegmentationNet(open_session(files.onnx, threads=1), soft=soft)
    for samples in LENGTHS:
        sound = wave[:samples]
        wanted = theirs(files.net, sound, soft)
        for ours, most in ((by_torch, 1e-4), (by_onnx, 1e-3)):
            found = ours.hear(sound).scores
            assert found.shape == wanted.shape, samples
            # A sound of a few samples is normalised by almost no variance: there alone rounding weighs more.
            assert np.abs(found - wanted).max() < (most if samples > 1 else 1e-2), (samples, most)
    assert (wanted.max(0) > 0.5).all(), "the random net says too little for this test to mean anything"


@pytest.mark.slow
def test_the_reference_hears_the_same(files: SimpleNamespace, wave: np.ndarray) -> None:
    from pipeline.nets.sound.pyannote_segmentation import PyannoteSegmentation

    for soft in (False, True):
        reference = PyannoteSegmentation(files.checkpoint, soft=soft).hear(wave[:300_000])
        ours = SegmentationNet(open_session(files.onnx, threads=1), soft=soft).hear(wave[:300_000])
        np.testing.assert_allclose(ours.scores, reference.scores, atol=1e-3)
        assert (ours.speaking != reference.speaking).mean() < 1e-3
        assert (ours.starts == reference.starts).all() and ours.samples == reference.samples


def test_pyannote_sends_no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "1")
    pyannote()
    from pyannote.audio.telemetry.metrics import is_metrics_enabled

    assert not is_metrics_enabled()


def test_the_reference_refuses_other_nets(tmp_path: Path) -> None:
    from pipeline.nets.sound.pyannote_segmentation import PyannoteSegmentation

    other = save_checkpoint(random_net(powerset=None), tmp_path / "multilabel.bin")
    with pytest.raises(ValueError, match=r"multilabel.bin is not segmentation-3.0"):
        PyannoteSegmentation(other)


def test_a_wave_hears_the_same_in_batches_of_any_size(files: SimpleNamespace, wave: np.ndarray) -> None:
    heard = [SegmentationNet(open_session(files.onnx, threads=1), batch=n).hear(wave) for n in (1, 5, 64)]
    for other in heard[1:]:
        np.testing.assert_allclose(other.scores, heard[0].scores, atol=1e-4)


def test_silence_and_real_speech_pass_through(files: SimpleNamespace) -> None:
    soundfile = pytest.importorskip("soundfile")
    net = SegmentationNet(open_session(files.onnx, threads=1))
    speech, _ = soundfile.read(asset("audio/pyannote_sample.wav"), dtype="float32")
    for sound in (np.zeros(12 * SAMPLE_RATE, np.float32), speech):
        heard = net.hear(sound)
        assert isinstance(heard, Voices) and np.isfinite(heard.scores).all()
        assert heard.scores.min() >= 0 and heard.scores.max() <= 1
        assert abs(len(heard.scores) - len(sound) / FRAME_STEP) < 2 and heard.samples == len(sound)


HOUR = """
import re, sys
from pathlib import Path
import numpy as np
from pipeline.nets.sound.segmentation import SegmentationNet
from pipeline.nets.session import open_session
wave = np.random.default_rng(0).standard_normal(3600 * 16_000, np.float32) * np.float32(0.1)
heard = SegmentationNet(open_session(sys.argv[1], threads=2)).hear(wave)
assert heard.speaking.shape == (3591, 589) and len(heard.scores) == round(3600 * 16_000 / 270) + 1
# of this program alone: what getrusage calls the peak begins with that of the process which started it
print(int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]) * 1024)
"""


@pytest.mark.slow
def test_an_hour_in_bounded_memory(files: SimpleNamespace) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOUR, str(files.onnx)], capture_output=True, text=True, cwd=ROOT, timeout=550
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1.5e9
