"""Columns of a table become tokens: typed, fitted, encoded."""
