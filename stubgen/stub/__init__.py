"""The stub object: what is in it, written, read back and found again."""
