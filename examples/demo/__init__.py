"""``make demo``: one function of a running ARM64 program is replaced, on Linux's format and on Apple's."""
