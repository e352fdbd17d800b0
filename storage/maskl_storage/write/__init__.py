"""The write path: batches, the write-ahead file, and commits by a seal."""
