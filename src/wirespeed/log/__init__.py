"""Logs: the recent entries of one key, numbered and bounded. They do no I/O, and time is an argument."""
