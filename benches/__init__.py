"""Benchmarks: ``make bench``, or ``python -m benches --help``."""
