"""Brokers: they carry publications to the logs of all who watch."""
