"""Build the counter of words with CMake, and patch the running program: fewer words, then all in small letters."""

from __future__ import annotations

from examples.driver import NATIVE, example

CROSS = () if NATIVE else ("-DCMAKE_TOOLCHAIN_FILE=arm64.cmake",)

SMALL = """{
  std::string small;
  for (unsigned char letter : word) small += static_cast<char>(std::tolower(letter));
  return small;
}"""


def main() -> None:
    """Two edits, one after the other, in one process."""
    with example("cmake_cpp", "runtime_c") as words:
        words.export(STUBGEN_CAPTURE_DIR=words.captured, STUBGEN_EXPORT_ANCHOR="main")
        words.run(
            *("cmake", "-G", "Ninja", "-B", "build", *CROSS),
            "-DCMAKE_CXX_COMPILER_LAUNCHER=hotpatch-stubgen-compiler",
            "-DCMAKE_CXX_LINKER_LAUNCHER=hotpatch-stubgen-compiler",
        )
        words.run("ninja", "-C", "build")
        with words.start("build/words") as running:
            running.ask("the cat and the dog")
            words.edit("report.cpp", ("counter.counts()) out", "counter.counts())\n    if (times > 1) out"))
            words.patch(running, "build/words", "pairs", "report.cpp")
            running.ask("The end")
            words.edit(
                "counter.cpp",
                ("{ return word; }", SMALL),
                ("#include <sstream>", "#include <cctype>\n#include <sstream>"),
            )
            words.patch(running, "build/words", "pairs", "counter.cpp")
            running.ask("The end")


if __name__ == "__main__":
    main()
