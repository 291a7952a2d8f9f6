"""Frozen features, computed once: what a probe reads, where it is kept, what it will cost."""
