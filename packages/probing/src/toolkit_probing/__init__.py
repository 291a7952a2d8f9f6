"""Efficient Probing and its rivals for frozen image encoders, under one protocol."""
