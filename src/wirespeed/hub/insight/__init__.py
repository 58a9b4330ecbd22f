"""Insight into one process: its state as plain data, for the console of this process and of all others."""
