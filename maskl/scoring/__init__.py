"""Metrics that need the pixels of stored masks, computed after the rows were logged, and kept beside them."""
