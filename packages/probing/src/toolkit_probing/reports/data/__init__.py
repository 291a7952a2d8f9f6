"""The data card of a page: what a run's results hold of its data, and pictures where they lie."""
