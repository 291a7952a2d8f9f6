"""A study's probes as its reader thinks of them: an arm a run, its folds joined."""
