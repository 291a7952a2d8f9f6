"""What is shown of finished runs: tables, figures, a page."""
