"""DeepFace itself, on faces of ours: `analyze` and `represent` without a detector, a reference to compare our sessions with."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base import install
from pipeline.base.arrays import Floats32, Floats64, Picture
from pipeline.nets.environ import variables
from pipeline.nets.face.attributes import LABELS, Attribute
from pipeline.nets.session import Device, check_model

# Ours -> DeepFace's task and model, and the name under which it looks for the weights (read in deepface 0.0.103).
MODELS = {
    "gender": ("facial_attribute", "Gender", "gender_model_weights.onnx"),
    "age": ("facial_attribute", "Age", "age_model_weights.onnx"),
    "ethnicity": ("facial_attribute", "Race", "race_model_single_batch.onnx"),
    "emotion": ("facial_attribute", "Emotion", "facial_expression_model_weights.onnx"),
    "identity": ("facial_recognition", "ArcFace", "arcface_weights.onnx"),
}
ACTIONS: dict[str, Attribute] = {"gender": "gender", "race": "ethnicity", "emotion": "emotion"}  # that give scores
WORDS = {"female": "Woman", "male": "Man"}  # the paper's -> DeepFace's; the others differ in capitals alone
SKIP = {"detector_backend": "skip", "enforce_detection": False}


def import_deepface() -> tuple[Any, Any, Any]:
    """`deepface.DeepFace` and the packages `commons` and `modules` beside it, on onnxruntime.

    It is called with DEEPFACE_HOME set; ImportError says what to install.
    """
    try:
        from deepface import DeepFace, commons, modules
    except ImportError as error:
        raise ImportError(f"the backend deepface needs {error.name}: {install.with_extra('attributes')}") from error
    return DeepFace, commons, modules


class DeepFaceReference:
    """DeepFace with given weights; it downloads none.

    Args:
        weights: attribute, or "identity" -> an .onnx file of DeepFace's whose hash was checked.
        device: "cpu" or "cuda". DeepFace takes all cores.

    Raises:
        ImportError: deepface, or something that it imports, is not installed.
        RuntimeError: this process runs DeepFace on something else than onnxruntime.
        ModelRefused: see `check_model`.
    """

    def __init__(self, weights: Mapping[str, Path], device: Device = "cpu") -> None:
        for path in weights.values():
            check_model(path.read_bytes(), str(path))
        self._has = frozenset(weights)
        with tempfile.TemporaryDirectory(prefix="csg405-deepface-") as home:
            folder = Path(home) / ".deepface" / "weights"
            folder.mkdir(parents=True)
            for kind, path in weights.items():
                (folder / MODELS[kind][2]).symlink_to(path.resolve())
            chosen = {
                "DEEPFACE_BACKEND_ENGINE": "onnx",
                "DEEPFACE_ONNX_PROVIDERS": "cpu" if device == "cpu" else "cuda",
            }
            with variables(DEEPFACE_HOME=home, **chosen):
                self._deepface, commons, modules = import_deepface()
                if (engine := commons.backend_utils.get_backend_engine()) != "onnx":
                    raise RuntimeError(f"DeepFace runs on {engine} in this process: set DEEPFACE_BACKEND_ENGINE=onnx")
                self._modeling = modules.modeling
                # (task, name) -> a model of its own, with the weights that the environment points to
                self._clients = {
                    MODELS[kind][:2]: self._modeling.get_model_class(*MODELS[kind][:2])() for kind in weights
                }

    def analyze(self, faces: Sequence[Picture]) -> tuple[dict[Attribute, Floats32], Floats64 | None]:
        """What `DeepFace.analyze` says of faces.

        Args:
            faces: N pictures (H, W, 3) RGB, one at least.

        Returns:
            (N, classes) scores 0..1 of each attribute that there are weights for, in the order of `LABELS`; and (N,) whole
            years of age, which it rounds down, None without weights for them.
        """
        actions = [action for action, kind in ACTIONS.items() if kind in self._has]
        wanted = (*actions, *(["age"] if "age" in self._has else []))
        if not wanted:
            return {}, None
        with self._installed():
            found = [self._deepface.analyze(_bgr(face), wanted, silent=True, **SKIP)[0] for face in faces]
        scores = {ACTIONS[action]: _scores(ACTIONS[action], [one[action] for one in found]) for action in actions}
        return scores, np.array([one["age"] for one in found], float) if "age" in self._has else None

    def represent(self, faces: Sequence[Picture]) -> Floats32 | None:
        """(N, 512) unit vectors of faces (H, W, 3) RGB by `DeepFace.represent`; None without weights for them."""
        if "identity" not in self._has:
            return None
        with self._installed():
            found = [self._deepface.represent(_bgr(face), "ArcFace", **SKIP)[0]["embedding"] for face in faces]
        vectors = np.array(found, float)
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)

    @contextmanager
    def _installed(self) -> Iterator[None]:
        """Have DeepFace find these models, of which it keeps one of each kind for the whole process."""
        kept = _kept(self._modeling)
        before = {(task, name): kept[task].get(name) for task, name in self._clients}
        for (task, name), client in self._clients.items():
            kept[task][name] = client
        try:
            yield
        finally:
            for (task, name), client in before.items():
                kept[task][name] = client


def _kept(modeling: Any) -> dict[str, dict[str, Any]]:
    """The models that DeepFace keeps, by task and name; it makes the table when it first builds one."""
    kept: dict[str, dict[str, Any]] = vars(modeling).setdefault(
        "cached_models", {task: {} for task in modeling.AVAILABLE_MODELS}
    )
    return kept


def _bgr(face: Picture) -> Picture:
    return np.ascontiguousarray(face[:, :, ::-1])


def _scores(kind: Attribute, found: Sequence[Mapping[str, float]]) -> Floats32:
    """(N, classes) 0..1 in our order, of DeepFace's percentages by word."""
    rows = []
    for percentages in found:
        by_word = {word.lower(): percentage for word, percentage in percentages.items()}
        rows.append([by_word[WORDS.get(label, label).lower()] / 100 for label in LABELS[kind]])
    return np.array(rows, np.float32)
