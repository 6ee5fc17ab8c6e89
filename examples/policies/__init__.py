"""Rules of a builder's own, for ``--policy`` and ``policies=``."""
