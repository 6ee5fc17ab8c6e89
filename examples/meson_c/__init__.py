"""A calculator in C that Meson builds, patched while it runs: ``python -m examples.meson_c.patch``."""
