"""Commands in forks of one process, what ends or starves them, and what they leave."""
