"""Artifacts: files, folders, addresses, tables and images under a name, in versions."""
