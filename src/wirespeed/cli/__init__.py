"""The command ``wirespeed``: live data in a terminal or in a pipe.

Install with ``pip install "wirespeed[cli]"``. Each command imports what it needs when it runs, so that ``--help`` and
completion stay fast.
"""

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command line of this process."""
    try:
        if find_spec("typer") is None or find_spec("rich") is None:
            sys.exit('The command wirespeed needs typer and rich: pip install "wirespeed[cli]"')
        from .app import app
    except KeyboardInterrupt:
        sys.exit(130)
    app(prog_name="wirespeed")
