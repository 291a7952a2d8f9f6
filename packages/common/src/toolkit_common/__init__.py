"""What the toolkit packages share: backbones, data, token store, runs, training and the CLI."""
