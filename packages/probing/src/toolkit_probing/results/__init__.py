"""What a run found: its rows, written, read back, compared."""
