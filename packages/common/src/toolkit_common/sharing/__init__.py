"""Encoders that leave the machine: a folder fit to publish, and its model card."""
