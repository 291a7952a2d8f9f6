"""How the model is trained: batches of patients, one step, one loop, resumable to the bit."""
