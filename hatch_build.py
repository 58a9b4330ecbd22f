"""Builds the browser client into the package, where npm is at hand; without npm everything else is installed."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = Path("src", "wirespeed", "static", "wirespeed.js")


class BrowserClient(BuildHookInterface):  # type: ignore[type-arg]
    """Runs npm before a wheel is built, or the checkout is installed as it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling's documentation of build hooks.

        Args:
            version: What kind of wheel; it makes no difference.
            build_data: Where the file is named, as git ignores it.
        """
        web, built = Path(self.root, "web"), Path(self.root, BUILT)
        if self.target_name == "wheel" and web.is_dir() and not is_fresh(web, built):
            self._build(web)
        if built.is_file():
            build_data["artifacts"].append(BUILT.as_posix())

    def _build(self, web: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            self.app.display_warning("npm was not found: /live/wirespeed.js will be missing, and will say so")
            return
        try:
            if not is_fresh(web / "package-lock.json", web / "node_modules" / ".package-lock.json"):
                subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=web, check=True)
            subprocess.run([npm, "run", "build:browser"], cwd=web, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"the browser client was not built ({error}): /live/wirespeed.js will be missing")


def is_fresh(source: Path, built: Path) -> bool:
    """Whether what was built is there, and is newer than its source; of a folder, than all that it is built from."""
    sources = [source] if source.is_file() else [*source.glob("*.*"), *source.glob("src/**/*")]
    return built.is_file() and all(each.stat().st_mtime <= built.stat().st_mtime for each in sources)
