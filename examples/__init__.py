"""Examples of use; each is a package that runs with ``python -m``."""
