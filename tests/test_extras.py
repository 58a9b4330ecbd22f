"""Modules that need an extra: without it, the error says what to install."""

import importlib
import sys

import pytest
from fastapi import FastAPI

from wirespeed import Live

EXTRAS = {"client": ("centrifuge", "client"), "metrics": ("prometheus_client", "metrics"), "tokens": ("jwt", "jwt")}


@pytest.mark.parametrize("module", EXTRAS)
def test_missing_extra_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import fails with the command that installs what is missing."""
    package, extra = EXTRAS[module]
    monkeypatch.delitem(sys.modules, f"wirespeed.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'^wirespeed\.{module} needs .*: pip install "wirespeed\[{extra}\]"$'):
        importlib.import_module(f"wirespeed.{module}")


@pytest.mark.parametrize("package", ["redis", "hiredis"])
def test_missing_extra_of_a_broker_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app with a broker fails where it is declared, with the command that installs what is missing."""
    for module in [each for each in sys.modules if each.startswith("wirespeed.brokers.redis")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "wirespeed\[redis\]"$'):
        Live(FastAPI(), broker="redis://localhost")
