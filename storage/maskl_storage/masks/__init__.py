"""Masks: the codec, run lengths, and what is measured and counted of them."""
