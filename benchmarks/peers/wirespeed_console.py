"""Wirespeed with the console, which the other apps do not have: they are not in development."""

import os

os.environ["WIRESPEED_CONSOLE"] = "1"

from benchmarks.peers.wirespeed_app import app as app
