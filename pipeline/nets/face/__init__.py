"""Face crops from keypoints, and the nets that estimate attributes and identity from them."""
