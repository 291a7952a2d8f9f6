"""What is on disk is whole or absent: files, locks, checkpoints, and the folder of a run."""
