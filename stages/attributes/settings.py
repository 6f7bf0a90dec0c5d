"""What `attributes` can be told."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from pipeline.engine.settings import Settings, runtime

if TYPE_CHECKING:
    from pipeline.nets.face.attributes import Attribute

Names = tuple[str, ...]
DEEPFACE = "deepface_"  # what the registry's names of DeepFace's own nets begin with
GUESSES: "tuple[Attribute, ...]" = ("gender", "age", "ethnicity", "emotion")
IDENTITY = "identity"


class AttributesSettings(Settings):
    """Which nets look at faces, and which frames they look at."""

    gender: Names = Field(("deepface_gender",), description="nets in the model registry, best first; () leaves it out")
    age: Names = Field(("deepface_age",), description="likewise")
    ethnicity: Names = Field(("deepface_ethnicity",), description="likewise")
    emotion: Names = Field(("deepface_emotion",), description="likewise")
    identity: Names = Field(
        ("deepface_identity", "mobilefacenet"), description="likewise; () leaves out whose face it is, and `speakers`"
    )
    backend: Literal["onnx", "deepface"] = Field(
        "onnx",
        description="deepface: DeepFace.analyze and represent on our faces, slower, whole years of age, and of the nets above "
        "its own alone (deepface_...): a reference to compare with",
    )
    frames: int = Field(5, ge=1, le=100, description="frames that are looked at, spread over the clip")
    candidate_frames: int = Field(4, ge=1, description="frontal frames of which each of them is the sharpest")
    max_yaw_degrees: float = Field(30.0, gt=0, le=90, description="turn of the head from the camera")
    min_face_score: float = Field(0.3, ge=0, le=1, description="mean score of the face's keypoints, and of each used")
    min_face_px: float = Field(24.0, ge=1, description="from the brows to the chin, pixels of the clip")
    batch: int = Field(16, ge=1, description="faces a run of a net", json_schema_extra=runtime())

    @model_validator(mode="after")
    def _has_its_nets(self) -> "AttributesSettings":
        if self.backend == "deepface":
            for attribute, names in self._named().items():
                if not self._usable(names):
                    raise ValueError(
                        f"the backend deepface runs DeepFace's own nets: {attribute} names {', '.join(names)}"
                    )
        return self

    def wanted(self) -> dict[str, Names]:
        """Attribute -> the nets that will do, best first, for each that the settings do not leave out."""
        return {attribute: self._usable(names) for attribute, names in self._named().items()}

    def result_settings(self) -> dict[str, Any]:
        """Without a back-end that is the default: what was made before there was another stands."""
        settings = super().result_settings()
        return {name: value for name, value in settings.items() if (name, value) != ("backend", "onnx")}

    def _named(self) -> dict[str, Names]:
        names = {attribute: getattr(self, attribute) for attribute in (*GUESSES, IDENTITY)}
        return {attribute: nets for attribute, nets in names.items() if nets}

    def _usable(self, names: Names) -> Names:
        """Those of the nets that the back-end can run."""
        return names if self.backend == "onnx" else tuple(name for name in names if name.startswith(DEEPFACE))
