"""Build the browser client and the console into wheels and source distributions, if Node.js is available."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC = Path("src", "wirespeed", "static")

BUILT = [
    STATIC / name
    for name in ("wirespeed.js", "types.mjs", "console/index.html", "console/console.js", "console/console.css")
]
"""The files whose age is compared with that of their sources; everything beside them is packed, too."""

NODE = 20
"""The oldest major version of Node.js that builds the pages."""

MISSING = (
    "the package is built without the browser client and the console, and /live/wirespeed.js and /live/ will answer "
    "with 503: {problem}. To get them, install Node.js {node} or newer and build again; everything else works without"
)


class BrowserClient(BuildHookInterface):  # type: ignore[type-arg]
    """Runs npm before a wheel, a source distribution or an editable installation is built.

    Without Node.js, the build succeeds without the client and prints a warning. pip shows that only with ``-v``, so the
    app says it, too (`wirespeed.live.browser`).
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages unless they are there and up to date, and add them to the distribution.

        Args:
            version: The kind of wheel; it makes no difference.
            build_data: Gets the name of the folder, which git ignores.
        """
        web, built = Path(self.root, "web"), [Path(self.root, each) for each in BUILT]
        # A source distribution has the files already. The time of unpacking says nothing about their age.
        is_unpacked = Path(self.root, "PKG-INFO").is_file() and all(each.is_file() for each in built)
        problem = None if is_unpacked or all(is_fresh(web, each) for each in built) else build(web)
        if any(each.is_file() for each in built):
            build_data["artifacts"].append(STATIC.as_posix())
        if all(each.is_file() for each in built):
            if problem is not None:
                self.app.display_warning(f"the browser client and the console are older than their sources: {problem}")
        else:
            self.app.display_warning(MISSING.format(problem=problem, node=NODE))


def build(web: Path) -> str | None:
    """Build the pages, and return what prevented it, if anything."""
    if not web.is_dir():
        return "its sources are not here"
    npm = shutil.which("npm")
    if (problem := _problem_of_node(npm)) is not None:
        return problem
    assert npm is not None
    try:
        if not is_fresh(web / "package-lock.json", web / "node_modules" / ".package-lock.json"):
            subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=web, check=True)
        for script in ("build:browser", "build:console", "build:types"):
            subprocess.run([npm, "run", script], cwd=web, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"npm failed ({error})"
    return None


def _problem_of_node(npm: str | None) -> str | None:
    """Return the reason why Node.js cannot build the pages, if there is one."""
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
    patterns = ("*.*", "src/**/*", "console/**/*", "types/**/*")
    sources = [source] if source.is_file() else [each for pattern in patterns for each in source.glob(pattern)]
    return built.is_file() and all(each.stat().st_mtime <= built.stat().st_mtime for each in sources)
