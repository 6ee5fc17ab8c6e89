"""ELF64 for AArch64: records, a reader and a writer. Knows the format and nothing about stubs.

Twin of ``macho/``: the same module names, and in them the same function names in the same order.
"""
