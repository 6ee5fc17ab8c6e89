"""A program in C++ that CMake builds, patched while it runs: ``python -m examples.cmake_cpp.patch``."""
