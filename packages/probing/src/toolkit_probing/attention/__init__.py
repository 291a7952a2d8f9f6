"""Where a probe looks."""
