"""COCO's JSON, in its two forms: panoptic PNGs and run lengths."""
