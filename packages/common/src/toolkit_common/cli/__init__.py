"""The `toolkit` command, and the commands of the common package."""
