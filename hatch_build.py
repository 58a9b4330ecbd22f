"""Builds the browser client into wheels and source distributions, where Node.js is at hand."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = Path("src", "wirespeed", "static", "wirespeed.js")

NODE = 20
"""The oldest major version of Node.js that builds the client."""


class BrowserClient(BuildHookInterface):  # type: ignore[type-arg]
    """Runs npm before a wheel or a source distribution is built, or the checkout is installed as it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling's documentation of build hooks.

        Args:
            version: What kind of wheel; it makes no difference.
            build_data: Where the file is named, as git ignores it.

        Raises:
            RuntimeError: A source distribution would have no client, and neither would any wheel that is made of it.
        """
        web, built = Path(self.root, "web"), Path(self.root, BUILT)
        # A source distribution has the client, which may not be older than its sources merely by when it was unpacked.
        is_unpacked = Path(self.root, "PKG-INFO").is_file() and built.is_file()
        if web.is_dir() and not is_unpacked and not is_fresh(web, built):
            self._build(web)
        if built.is_file():
            build_data["artifacts"].append(BUILT.as_posix())
        elif self.target_name == "sdist":
            raise RuntimeError(f"A source distribution needs the browser client: install Node.js {NODE} or newer.")

    def _build(self, web: Path) -> None:
        npm = shutil.which("npm")
        if (problem := _problem_of_node(npm)) is not None:
            self.app.display_warning(f"{problem}: /live/wirespeed.js will be missing or out of date")
            return
        assert npm is not None
        try:
            if not is_fresh(web / "package-lock.json", web / "node_modules" / ".package-lock.json"):
                subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=web, check=True)
            subprocess.run([npm, "run", "build:browser"], cwd=web, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"the browser client was not built ({error}): /live/wirespeed.js will be missing")


def _problem_of_node(npm: str | None) -> str | None:
    """What keeps Node.js from building the client, if anything."""
    node = shutil.which("node")
    if npm is None or node is None:
        return f"Node.js {NODE} or newer, and its npm, were not found"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    major = version.removeprefix("v").partition(".")[0]
    if major.isdecimal() and int(major) >= NODE:
        return None
    return f"the browser client needs Node.js {NODE} or newer, and {node} is {version or 'broken'}"


def is_fresh(source: Path, built: Path) -> bool:
    """Whether what was built is there, and is newer than its source; of a folder, than all that it is built from."""
    sources = [source] if source.is_file() else [*source.glob("*.*"), *source.glob("src/**/*")]
    return built.is_file() and all(each.stat().st_mtime <= built.stat().st_mtime for each in sources)
