"""Runs: a generator's values onto a lane, and when a run begins and ends."""
