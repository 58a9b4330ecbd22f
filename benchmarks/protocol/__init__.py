"""The table `protocol`: what the multiplexed surface costs. `table` says what is measured, `roster` who takes part.

Each row is a module: `fanout`, `turns`, `subscribing`, `storm`, `memory`. The clients are one process, as for
`feeds`; where they have to speak the protocol, it is `load`, which `loading` starts and asks, and `commands` has what
they say. `report` and `plot` tell.
"""
