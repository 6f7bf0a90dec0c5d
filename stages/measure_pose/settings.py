"""What `measure_pose` can be told."""

from pydantic import Field

from pipeline.engine.settings import Settings


class MeasurePoseSettings(Settings):
    """When a keypoint counts as seen, and how the crop is laid around a speaker."""

    min_keypoint_score: float = Field(0.3, ge=0, le=1, description="keypoints below it count as not seen")
    use_manifest_crop: bool = Field(True, description="where a link manifest gave a crop, take it as it is")
    crop_margin_share: float = Field(0.08, ge=0, lt=1, description="border around the speaker, share of what is framed")
    crop_min_score: float = Field(0.3, ge=0, le=1, description="keypoints below it do not widen the crop")
    crop_min_seen_share: float = Field(0.05, ge=0, le=1, description="points seen in a smaller share of frames do not")
    crop_spike_frames: int = Field(5, ge=1, description="excursions of up to half as many frames do not widen it")
