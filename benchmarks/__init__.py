"""Measurements of Wirespeed against its peers: `python -m benchmarks --help`. No test depends on them.

`streams` says what is measured, `roster` who takes part (each a small server in `peers/`), `cases` what is sent.
`sampling` and `memory` measure, with `client` and `processes` as their instruments. `report` and `plot` tell.

`feeds` is the second table, with the modules of its own in a package: what many watch at once.
"""
