"""Rows of stored tables, at random and in order."""
