"""Where videos come from: the web, through yt-dlp behind a fence, and released manifests."""
