"""EP's claims: what studies have found, judged; of `ep_claims`."""
