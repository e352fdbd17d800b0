"""Rows in the columns of Parquet, Arrow and Hugging Face files."""
