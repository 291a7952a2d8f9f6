"""Data sets as rows with an image and a label, their splits, and their images as tensors."""
