"""Runs: how they start and end, what they are configured with, and what log() takes."""
