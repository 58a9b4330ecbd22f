"""The command ``wirespeed``: live data in a terminal or in a pipe.

Install with ``pip install "wirespeed[cli]"``. Each command imports what it needs when it runs, so that ``--help`` and
completion stay fast.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Run the command line of this process."""
    try:
        if find_spec("typer") is None or find_spec("rich") is None:
            sys.exit('The command wirespeed needs typer and rich: pip install "wirespeed[cli]"')
        from .app import app
    except KeyboardInterrupt:
        sys.exit(130)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed, as by 2>&-
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for good
    app(prog_name="wirespeed")
