"""Whom an encoder was trained on: kept so that it can be compared and nobody can be found."""
