"""Encoders by name: what a short name stands for, and which weights are on this machine."""
