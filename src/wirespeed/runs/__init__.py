"""Runs: a run is one execution of user code. This room starts runs, moves their values, and decides how they ended."""
