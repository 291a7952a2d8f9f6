"""Writes synthetic data sets in the file layouts of the real ones: `toolkit data make`."""
