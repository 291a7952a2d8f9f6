"""A place becomes pixels: images opened, keyed by their content, made into batches."""
