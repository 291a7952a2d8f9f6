"""Pages for a browser: one self-contained file, light and dark, from a phone to a wide screen."""
