"""What names say: versions, numbering, likeness."""
