"""What is judged, made ready once and passed on: images, labels, splits, metadata."""
