"""Images by digest: written once, found from an index."""
