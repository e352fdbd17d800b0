"""SQL over a store: the only importer of DuckDB."""
