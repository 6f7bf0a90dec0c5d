"""The web: fenced and paced requests through yt-dlp, and the classes of their errors."""
