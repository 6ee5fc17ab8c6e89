"""``python -m stubgen``."""

from stubgen.cli import run

if __name__ == "__main__":
    run()
