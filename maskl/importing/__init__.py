"""A source becomes a run: beside the store first, and in it whole or not at all."""
