"""Measurements of Wirespeed against its peers: `python -m benchmarks --help`. No test depends on them."""
