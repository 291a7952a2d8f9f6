"""Commands of the common package."""
