"""SLIMP: nested contrastive pre-training of skin-lesion encoders with metadata."""
