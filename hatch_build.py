"""Build the browser client into wheels and source distributions, if Node.js is available."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = Path("src", "wirespeed", "static", "wirespeed.js")

NODE = 20
"""The oldest major version of Node.js that builds the client."""

MISSING = (
    "the package is built without the browser client, and /live/wirespeed.js will answer with 503: {problem}. To get "
    "the client, install Node.js {node} or newer and build again; everything else works without it"
)


class BrowserClient(BuildHookInterface):  # type: ignore[type-arg]
    """Runs npm before a wheel, a source distribution or an editable installation is built.

    Without Node.js, the build succeeds without the client and prints a warning. pip shows that only with ``-v``, so the
    app says it, too (`wirespeed.live.browser`).
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the client unless it is there and up to date, and add it to the distribution.

        Args:
            version: The kind of wheel; it makes no difference.
            build_data: Gets the name of the file, which git ignores.
        """
        web, built = Path(self.root, "web"), Path(self.root, BUILT)
        # A source distribution has the client already. The time of unpacking says nothing about the age of its files.
        is_unpacked = Path(self.root, "PKG-INFO").is_file() and built.is_file()
        problem = None if is_unpacked or is_fresh(web, built) else build(web)
        if built.is_file():
            build_data["artifacts"].append(BUILT.as_posix())
            if problem is not None:
                self.app.display_warning(f"the browser client is older than its sources: {problem}")
        else:
            self.app.display_warning(MISSING.format(problem=problem, node=NODE))


def build(web: Path) -> str | None:
    """Build the client, and return what prevented it, if anything."""
    if not web.is_dir():
        return "its sources are not here"
    npm = shutil.which("npm")
    if (problem := _problem_of_node(npm)) is not None:
        return problem
    assert npm is not None
    try:
        if not is_fresh(web / "package-lock.json", web / "node_modules" / ".package-lock.json"):
            subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=web, check=True)
        subprocess.run([npm, "run", "build:browser"], cwd=web, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"npm failed ({error})"
    return None


def _problem_of_node(npm: str | None) -> str | None:
    """Return the reason why Node.js cannot build the client, if there is one."""
    node = shutil.which("node")
    if npm is None or node is None:
        return "Node.js and its npm were not found"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    major = version.removeprefix("v").partition(".")[0]
    if major.isdecimal() and int(major) >= NODE:
        return None
    return f"Node.js {NODE} is needed, and {node} is {version or 'broken'}"


def is_fresh(source: Path, built: Path) -> bool:
    """Return True if a built file is newer than its source; of a folder, than all files that it is built from."""
    sources = [source] if source.is_file() else [*source.glob("*.*"), *source.glob("src/**/*")]
    return built.is_file() and all(each.stat().st_mtime <= built.stat().st_mtime for each in sources)
