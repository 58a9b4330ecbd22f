"""Logs: what one key has told lately, numbered and bounded. Synchronous; time comes in as an argument."""
