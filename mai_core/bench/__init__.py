"""Benchmarks of what Mai decides: how fast, and how well."""
