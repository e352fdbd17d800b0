"""The only code that touches files: atomic writes, locks, forks, Parquet and what is mapped of it."""
