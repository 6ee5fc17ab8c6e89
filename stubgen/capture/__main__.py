"""``python -m stubgen.capture`` is ``hotpatch-stubgen-linker``."""

from stubgen.capture.links import linker_main

if __name__ == "__main__":
    linker_main()
