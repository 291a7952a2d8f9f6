"""Weights of files into encoders: which dict, which names, how much of both is used."""
