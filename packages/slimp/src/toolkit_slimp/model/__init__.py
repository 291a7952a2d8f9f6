"""What is pre-trained: encoders, projection heads, pooling of lesions, the nested loss."""
