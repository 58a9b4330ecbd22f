"""The broker for Redis and Valkey: Redis 7 or newer, or any Valkey.

``address`` reads a URL, and ``topology`` finds the primaries: one, the one that Sentinel names, or those of a Cluster.
``link`` is one connection, ``node`` the two connections to one server, and ``servers`` all of them: it routes commands
and lets subscriptions follow their slots. ``attached`` keeps a replica up to date, and ``broker`` is the contract.
``spelling`` writes records and the arguments of ``scripts``, which are the files that end in ``.lua``.
"""

try:
    import hiredis
    import redis
except ImportError as error:
    raise ImportError('A broker at a URL needs redis and hiredis: pip install "wirespeed[redis]"') from error
