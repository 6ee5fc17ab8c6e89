"""What the patch needs, and what becomes of each symbol."""
