"""What a pre-training run is read by: its page, its table, and what both are made of."""
