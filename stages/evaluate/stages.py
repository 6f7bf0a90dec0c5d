"""The stages of an evaluation, as its settings and the run's profile say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.backends.settings import BackendSettings
from pipeline.base import install
from pipeline.base.hashes import sha256_of
from pipeline.engine.runner import importable
from pipeline.engine.session import Session
from pipeline.model.generation.sampling import SamplingSettings
from pipeline.storage import storage_of
from stages.evaluate.renditions import Renditions
from stages.evaluate.scores import Scores
from stages.evaluate.scores.names import NETS
from stages.evaluate.settings import EvaluateSettings
from stages.evaluate.subjects import Subjects


class Stages:
    """Makes them for one evaluation.

    Args:
        settings: of the evaluation.
        session: whose run and nets they take.
    """

    def __init__(self, settings: EvaluateSettings, session: Session) -> None:
        self._settings, self._session = settings, session

    @property
    def base(self) -> Path:
        """The folder that the test set's videos are relative to: the run that its shards are of."""
        return self._source().absolute().parent

    def _source(self) -> Path:
        return Path(self._settings.source) if self._settings.source else storage_of(self._session.run).folder("shards")

    def subjects(self) -> Subjects:
        """The stage that reads the test set."""
        nets = self._session.profile.settings("annotate")
        return Subjects(
            protocol=self._settings.protocol,
            detector=() if self._settings.protocol == "csg405" else nets.detector,  # type: ignore[attr-defined]
            pose=() if self._settings.protocol == "csg405" else nets.pose,  # type: ignore[attr-defined]
            pose_backend=nets.backend,  # type: ignore[attr-defined]
            split=self._settings.split,
            frames_fps=self._settings.frames_fps,
            limit=self._settings.limit,
            gpus=self._settings.gpus,
            source=str(self._source()),
            base=str(self.base),
        )

    def renditions(self, place: Path) -> Renditions:
        """The stage that makes the method's videos, of the subjects in the folder `place`."""
        model, digest = "", ""
        if self._settings.method == "ours":
            from pipeline.model.training.checkpoint import model_of, weights_of  # torch, which other methods do without

            weights = weights_of(model_of(self._settings.model, self._session.run / "training"))
            model, digest = str(weights), sha256_of(weights)
        shared = (*BackendSettings.model_fields, *SamplingSettings.model_fields, "method", "fit")
        same = {name: getattr(self._settings, name) for name in shared}
        return Renditions(
            **same,
            model=model,
            model_sha256=digest,
            window_batch=self._settings.window_batch,
            gpus=self._settings.gpus,
            keep_open=self._settings.keep_open,
            cast=str(place),
            films=str(self.base),
            folder=self._settings.folder,
        )

    def scores(self, place: Path, renditions: Renditions) -> Scores:
        """The stage that scores these videos."""
        annotate = not renditions.drawn and (
            self._settings.faces == "annotate" or (self._settings.faces == "auto" and renditions.method != "true")
        )
        choices: Mapping[str, Any] = {
            "identity": self._session.profile.settings("attributes").identity,  # type: ignore[attr-defined]
            "syncnet": self._session.profile.settings("lip_sync").net,  # type: ignore[attr-defined]
            "inception": self._settings.inception,
            "i3d": self._settings.i3d,
        }
        here, lacking = _nets({name: choices[name] for name in NETS}, self._session)
        nets = self._session.profile.settings("annotate")
        return Scores(
            drawn=renditions.drawn,
            nets=here,
            choices=choices,
            lacking=lacking,
            annotate=annotate,
            footage="theatre" if self._session.profile.name == "demo" else "",  # it has no other
            detector=nets.detector if annotate else (),  # type: ignore[attr-defined]
            pose=nets.pose if annotate else (),  # type: ignore[attr-defined]
            pose_backend=nets.backend,  # type: ignore[attr-defined]
            fvd_frames=self._settings.fvd_frames,
            gpus=self._settings.gpus,
            cast=str(place),
            films=str(self.base),
        )


def _nets(choices: Mapping[str, tuple[str, ...]], session: Session) -> tuple[dict[str, str], dict[str, str]]:
    """Of the nets of metrics, those that are here with their hashes, and why the others are not."""
    here: dict[str, str] = {}
    lacking: dict[str, str] = {}
    for name, names in choices.items():
        net = session.models.optional(names) if names else None
        if net is None:
            lacking[name] = session.models.advice(names) if names else "left out by the settings"
        elif net.path.suffix in (".pt", ".pth") and not importable("torch"):
            lacking[name] = f"{net.path.name} needs torch: {install.pip('torch')}"
        else:
            here[name] = net.sha256
    return here, lacking
