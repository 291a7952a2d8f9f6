"""Image encoders from timm, open_clip, an exported folder or Python, behind one contract."""
