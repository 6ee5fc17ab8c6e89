"""Mach-O for ARM64: records, a reader and a writer. Knows the format and nothing about stubs.

Twin of ``elf/``: the same module names, and in them the same function names in the same order.
"""
