"""From an id to the rows of a data set: one reader a file, found by name."""
