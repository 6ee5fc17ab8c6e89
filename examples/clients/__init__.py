"""Clients of ``hotpatch-stubgen serve``, to start from: one in Python, and one in Rust beside it."""
