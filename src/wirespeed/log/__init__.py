"""Logs: the recent entries of one key, numbered and bounded. They do no I/O, and time is an argument.

``base`` is the contract, and ``latest``, ``ring`` and ``table`` are the kinds of logs. ``kinds`` makes one of them. A
key is one feed or topic with its arguments. A watcher is one client's subscription to a key, and reads the log by a
cursor.
"""
