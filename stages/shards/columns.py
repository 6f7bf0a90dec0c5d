"""What a row of a shard is made of, beside the measures."""

FOLDER = "shards"
SAMPLE = ["frames", "crop_box", "keypoints", "scores", "neck", "video", "video_sha256", "audio"]
FEATURES = ("audio_features", "audio_features_of")
PUBLISHED = ["url", "speech_type", "licence", "channel", "channel_id", "channel_handle", "upload_date"]
