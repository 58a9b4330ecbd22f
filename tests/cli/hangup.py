"""An app whose terminal is closed while it is imported."""

import os
import signal

from .app import app as app

os.kill(os.getpid(), signal.SIGHUP)
