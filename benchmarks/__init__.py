"""Measurements of maskl against what people use now; run with ``python -m benchmarks``."""
