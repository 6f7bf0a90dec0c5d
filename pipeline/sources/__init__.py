"""Where videos come from: the web, and released manifests."""
