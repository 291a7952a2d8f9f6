"""How heads are trained, picked and read out: one loop, resumable to the bit."""
