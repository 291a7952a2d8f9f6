"""The commands of the probing package. Nothing heavy is imported before one is called."""
