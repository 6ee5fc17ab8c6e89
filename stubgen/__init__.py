"""stubgen makes a hot patch's calls land: see the phases below, each a module of its name."""

__version__ = "0.1.0"
