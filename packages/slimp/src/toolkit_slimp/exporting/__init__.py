"""The encoder that others read: written, read back, with its reference bank."""
