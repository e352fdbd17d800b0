"""The format itself: names, paths, metadata, seals and schemas, as storage/SPEC.md has them."""
