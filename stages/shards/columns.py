"""What a row of a shard is made of, beside the measures."""

FOLDER = "shards"
BEFORE = "before"  # in `Context.given`: {bucket: what the table says of its row groups}
SAMPLE = ["frames", "crop_box", "keypoints", "scores", "neck", "video", "video_sha256", "audio"]
FEATURES = ("audio_features", "audio_features_of")
PUBLISHED = ["url", "speech_type", "licence", "channel", "channel_id", "channel_handle", "upload_date"]
