"""A program in C that plain make builds, patched while it runs: ``python -m examples.make_c.patch``."""
