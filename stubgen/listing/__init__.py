"""What is in a file, for people: its symbols, and what is a patch's own in it."""
