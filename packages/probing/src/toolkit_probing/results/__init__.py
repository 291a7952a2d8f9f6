"""The rows of a run: written, read back, compared."""
