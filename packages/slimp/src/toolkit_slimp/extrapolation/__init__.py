"""Metadata for images without any: what the nearest lesions of a reference say."""
