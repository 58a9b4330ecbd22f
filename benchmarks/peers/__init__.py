"""The servers: one small program for each."""
