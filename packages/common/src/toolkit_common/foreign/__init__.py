"""Readers of files that anybody may have written: bounded, and nothing of them is run."""
