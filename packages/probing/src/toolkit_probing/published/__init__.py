"""Figures that others have published, and runs that reproduce them."""
