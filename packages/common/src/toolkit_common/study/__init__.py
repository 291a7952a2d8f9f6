"""A grid of commands with the dependencies between them: carried out, resumed, put in a table."""
