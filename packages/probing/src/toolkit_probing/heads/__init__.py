"""What is trained on features: a pooling, a norm and a classifier, many side by side."""
