"""What held-out patients say while a model trains."""
