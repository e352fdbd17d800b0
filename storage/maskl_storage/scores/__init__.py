"""Scores of stored rows that are computed after the rows were logged: who writes them, and which there are."""
