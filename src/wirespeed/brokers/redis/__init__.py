"""The broker for Redis and Valkey.

It needs the packages ``redis`` and ``hiredis``, and one server, Redis 6.2 or Valkey 7.2 or newer. Still missing are
Sentinel and Cluster, a limit for large values, reads of large tables in pages, and a warning if the server may evict
keys.
"""
