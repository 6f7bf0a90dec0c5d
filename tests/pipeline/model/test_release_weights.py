"""Import of the authors' weights: what comes in is in their unit and order, and what is not theirs is refused by name."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.model import checkpoint_file
from pipeline.model.audio_to_skeleton import AudioToSkeleton, Reference
from pipeline.model.release_weights import import_model
from pipeline.registry.archives import BadModel
from pipeline.skeleton import layout
from tests.pipeline.model import released

Paths = tuple[Path, Path, Path]
WRIST = 9


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return released.write(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def paths(whole: Paths, tmp_path: Path) -> Paths:
    """Files of one's own to damage."""
    copies = [tmp_path / path.name for path in whole]
    for path, copy in zip(whole, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    return copies[0], copies[1], copies[2]


def test_the_model_is_as_theirs_and_outlives_a_file(whole: Paths, tmp_path: Path) -> None:
    made = import_model(*whole, "tiny")
    made.save(tmp_path / "model.safetensors")
    model = AudioToSkeleton.load(tmp_path / "model.safetensors")
    settings = model.settings
    assert (settings.arch, settings.keypoints, settings.window_frames, settings.lead_frames) == (
        "release",
        123,
        250,
        25,
    )
    assert settings.dropout == 0.1 and not settings.neck and model.audio_of == "wav2vec2-base-960h/12/release"
    assert model.sure_score == 0.7 and model.trained_on["step"] == 3_000_000
    assert set(model.trained_on["imported"]) == {"checkpoint", "mean", "std"}
    state = released.planted_state()
    assert torch.equal(model.net.null_audio, state["audio_learnable"])
    assert torch.equal(model.net.mix[2].bias, state["concat_to_hidden.2.bias"])
    assert torch.equal(model.net.encoder.layers[3].norm2.weight, state["seqTransEncoder.layers.3.norm2.weight"])


def test_coordinates_come_out_in_pixels_with_the_neck_at_the_references(whole: Paths) -> None:
    """Their way: values x std + mean in units of 256 px, without the neck that comes first and without knees to feet."""
    space, (mean, std) = import_model(*whole, "tiny").space, released.planted_statistics()
    values = torch.from_numpy(np.random.RandomState(1).standard_normal((1, 7, 246)).astype(np.float32))
    local, neck = space.decode(values, torch.tensor([[250.0, 300.0]]))
    theirs = (values.numpy().reshape(7, 123, 2) * std[:, 1:] + mean[:, 1:]) * 256
    kept = [k for k in range(layout.K) if k not in range(13, 23)]
    np.testing.assert_allclose(local[0, :, kept].numpy(), theirs, atol=1e-3)
    assert torch.isnan(local[0, :, 13:23]).all() and (neck == torch.tensor([250.0, 300.0])).all()
    back, _ = space.encode(torch.nan_to_num(local), torch.ones(1, 7, 133, dtype=torch.bool), neck, neck[:, 0])
    torch.testing.assert_close(back, values, rtol=1e-4, atol=1e-4)


def test_a_small_spread_is_kept_as_it_is(paths: Paths) -> None:
    std = np.load(paths[2])
    std[0, 1 + WRIST] = 0.0005  # 0.13 px, less than what training here would divide by
    np.save(paths[2], std)
    assert import_model(*paths, "tiny").space.std[WRIST].tolist() == pytest.approx([0.128, 0.128])


def test_where_people_stood_is_told_by_the_statistics(whole: Paths) -> None:
    low, middle, high = import_model(*whole, "tiny").space.framing.T.numpy()
    np.testing.assert_allclose(middle, [0.6 * 256, 1.02 * 256, 1.1 * 256], rtol=1e-5)
    assert (low < middle).all() and (middle < high).all()


def test_motion_is_generated_window_by_window_from_the_reference(whole: Paths) -> None:
    model = import_model(*whole, "tiny")
    points = np.random.default_rng(0).uniform(100, 400, (layout.K, 2)).astype(np.float32)
    unsure = np.where(np.arange(layout.K) == WRIST, 0.6, 1.0)
    reference = Reference.of(points, unsure, sure_score=model.sure_score)
    audio = np.random.default_rng(0).standard_normal((260, 768)).astype(np.float32)
    leads: list[torch.Tensor] = []
    model.net.register_forward_pre_hook(lambda _, __, given: leads.append(given["lead"]), with_kwargs=True)
    motion = model.generate(audio, reference, guidance=1.0, sampler="ddim", steps=1)
    assert motion.local.shape == (260, 133, 2) and np.isnan(motion.local[:, 13:23]).all()
    assert len(leads) == 2 and (leads[0] == leads[0][:, :1]).all() and not leads[0][..., 2 * WRIST].any()
    last = model.space.encode(
        torch.nan_to_num(torch.from_numpy(motion.local[None, 225:250])),
        torch.ones(1, 25, 133, dtype=torch.bool),
        torch.zeros(1, 25, 2),
        torch.zeros(1, 2),
    )[0]
    torch.testing.assert_close(leads[1], last, rtol=1e-3, atol=1e-3)


def refused(paths: Paths, says: str, guilty: int = 0) -> None:
    with pytest.raises(BadModel, match=says) as caught:
        import_model(*paths, "tiny")
    sentence = str(caught.value)
    assert str(paths[guilty]) in sentence and "\n" not in sentence and len(sentence) < 700


class Code:
    """What a pickle can be made to run."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ran",)


def weights(**changed: Any) -> dict[str, Any]:
    """A checkpoint whose weights are changed: None takes one out."""
    state = {**released.planted_state(), **{name.replace("__", "."): value for name, value in changed.items()}}
    return {"model": {name: value for name, value in state.items() if value is not None}, "step": 1}


def of_mdm() -> dict[str, Any]:
    """Names as the checkpoints of the motion diffusion model have them, which this one was made from; bare."""
    named = {"input_process": (512, 263), "embed_text": (512, 512), "output_process": (263, 512)}
    return {f"{name}.weight": torch.zeros(shape) for name, shape in named.items()}


FINAL, BIAS = "output_process__poseFinal__weight", "embed_audio__bias"
FOREIGN: dict[str, tuple[Callable[[], Any], str]] = {
    "a tensor missing": (lambda: weights(**{BIAS: None}), "1 tensors missing: embed_audio.bias"),
    "a tensor too many": (lambda: weights(aud_m__masked=torch.zeros(3)), "1 too many: aud_m.masked"),
    "another shape": (
        lambda: weights(**{FINAL: torch.zeros(266, 192)}),
        r"poseFinal.weight is \(266, 192\), not \(246, 192\)",
    ),
    "another type": (
        lambda: weights(**{BIAS: torch.zeros(192).half()}),
        r"no float32 tensors: embed_audio.bias \(float16",
    ),
    "no tensor": (lambda: weights(**{BIAS: [0.0] * 192}), r"no float32 tensors: embed_audio.bias \(list"),
    "a sparse tensor": (
        lambda: weights(**{BIAS: torch.zeros(192).to_sparse()}),
        "no float32 tensors: embed_audio.bias",
    ),
    "NaN": (lambda: weights(**{BIAS: torch.full((192,), torch.nan)}), "not finite: embed_audio.bias"),
    "infinity": (lambda: weights(**{BIAS: torch.full((192,), torch.inf)}), "not finite: embed_audio.bias"),
    "other positions": (
        lambda: weights(sequence_pos_encoder__pe=torch.zeros(5000, 1, 192)),
        "sequence_pos_encoder.pe is another table of positions",
    ),
    "a huge tensor in few bytes": (
        lambda: weights(**{BIAS: torch.zeros(1).expand(1 << 45)}),
        r"embed_audio.bias is \(35184372088832,\), not \(192,\)",
    ),
    "another project's": (of_mdm, "no entry `model` with the weights, but input_process.weight, embed_text.weight"),
    "another project's under the same key": (
        lambda: {"model": of_mdm()},
        r"\d+ tensors missing: .*; 3 too many: input_process",
    ),
    "another size": (lambda: {"model": released.planted_state(24, 1)}, "tensors missing: .*of another shape"),
    "a list": (lambda: [1, 2], "holds a list"),
    "code": (lambda: {"model": Code()}, "would run code or build foreign objects: it asks for (posix|nt|os).system"),
    "names that deface a terminal": (lambda: weights(**{"\x1b[2J\n": torch.zeros(1)}), r"1 too many: \\x1b\[2J\\n"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_checkpoint_is_refused_by_name(
    kind: str, paths: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    make, says = FOREIGN[kind]
    torch.save(make(), paths[0])
    refused(paths, says)
    assert not Path("ran").exists()


@pytest.mark.parametrize("share", [0.0, 1e-5, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(share: float, paths: Paths) -> None:
    content = paths[0].read_bytes()
    paths[0].write_bytes(content[: int(share * len(content))])
    refused(paths, "cut short")


def test_bytes_lost_in_its_middle_are_refused(paths: Paths) -> None:
    content = bytearray(paths[0].read_bytes())
    content[200:260] = bytes(60)
    paths[0].write_bytes(content)
    refused(paths, "damaged|would run code|refused")


def test_a_pickle_with_code_of_the_old_form_is_not_opened(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    paths[0].write_bytes(pickle.dumps(Code()))
    refused(paths, "no checkpoint as torch.save writes them")
    assert not Path("ran").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(paths: Paths) -> None:
    with zipfile.ZipFile(paths[0], "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", bytes(20_000_000))
    assert paths[0].stat().st_size < 200_000
    refused(paths, "unpacks to 20,000,000: checkpoints are not compressed")


def test_a_pickle_larger_than_any_description_is_refused(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_file, "LARGEST_PICKLE_BYTES", 1 << 10)
    refused(paths, "what describes its tensors is larger")


def test_a_safetensors_file_is_told_apart(paths: Paths) -> None:
    save_file({"input_process.poseEmbedding.weight": torch.zeros(2, 2)}, str(paths[0]))
    refused(paths, "is a safetensors file, not the .pth checkpoint")


def pickled(values: np.ndarray) -> bytes:
    held = io.BytesIO()
    np.save(held, np.array([Code()], dtype=object), allow_pickle=True)
    return held.getvalue()


def of(values: np.ndarray) -> bytes:
    held = io.BytesIO()
    np.save(held, values)
    return held.getvalue()


def replaced(values: np.ndarray, value: float) -> np.ndarray:
    values = values.copy()
    values[0, 60, 1] = value
    return values


ARRAYS: dict[str, tuple[Callable[[np.ndarray], bytes], str]] = {
    "133 points": (lambda v: of(np.ones((1, 133, 2))), r"shape \(1, 133, 2\), not \(1, 124, 2\)"),
    "without the neck": (lambda v: of(v[:, 1:]), r"shape \(1, 123, 2\), not \(1, 124, 2\)"),
    "flat": (lambda v: of(v.ravel()), r"shape \(248,\)"),
    "whole numbers": (lambda v: of(np.ones((1, 124, 2), np.int64)), "type int64, not a floating one"),
    "NaN": (lambda v: of(replaced(v, np.nan)), "not finite"),
    "a pickle": (pickled, "no plain .npy array"),
    "cut short": (lambda v: of(v)[:-9], "no plain .npy array"),
    "empty": (lambda v: b"", "no plain .npy array"),
    "more than there is": (lambda v: of(v).replace(b"(1, 124, 2)", b"(9**9,2,2,)"), "no plain .npy array"),
    "text": (lambda v: b"0.1 0.2", "no plain .npy array"),
}


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("which", [1, 2], ids=["mean", "std"])
def test_a_damaged_array_is_refused(kind: str, which: int, paths: Paths) -> None:
    make, says = ARRAYS[kind]
    paths[which].write_bytes(make(np.load(paths[which])))
    refused(paths, says, which)


@pytest.mark.parametrize("value", [0.0, -0.1])
def test_a_spread_that_is_none_is_refused(value: float, paths: Paths) -> None:
    np.save(paths[2], replaced(np.load(paths[2]), value))
    refused(paths, "a standard deviation of -?0", 2)


def test_mean_and_std_in_each_others_place_are_told_apart(paths: Paths) -> None:
    refused((paths[0], paths[2], paths[1]), "is it the std's file", 2)


def test_a_file_that_is_not_there_is_named(paths: Paths) -> None:
    for which in range(3):
        gone = list(paths)
        gone[which] = paths[which].with_name("gone")
        refused((gone[0], gone[1], gone[2]), "gone", which)
