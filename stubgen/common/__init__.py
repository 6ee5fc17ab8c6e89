"""What every part stands on: bytes, string tables, files, cancellation; nothing here knows a format."""
