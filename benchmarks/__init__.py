"""Measurements of Wirespeed against its peers: `python -m benchmarks --help`. The tests do not run them.

`streams`, `feeds`, `protocol` and `browser` are suites of benchmarks. A benchmark has named cases; in each case, the
first side is sampled in turn with every other side (`framework`). `roster` names the servers, which are in `peers/`;
`processes`, `websocket`, `clients` and `chromium` run them and their clients; `sampling` measures CPU time, memory and
latency; `report` and `plot` present the results.
"""
