"""The components of the guide on React in Chromium."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.documents import BLOCK, expect_another, with_files, write
from tests.servers import ROOT, serve
from tests.test_docs import read
from tests.waiting import PATIENCE

REACT = "docs/how-to/use-react.md"
SHOWN = """
import { createElement as h, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Ask } from "./Ask";
import { Backtest } from "./Backtest";
import { Price } from "./Price";
import { Trades } from "./Trades";

const parts = [h(Price, { symbol: "BTC" }), h(Backtest), h(Trades), h(Ask)];
const all = parts.map((part, index) => h("div", { key: index, id: part.type.name }, part));
createRoot(document.querySelector("#root")).render(h(StrictMode, null, all));
"""

PAGE = """<!doctype html><link rel="icon" href="data:,"><div id="root"></div>
<script type="module" src="dist/bundle.mjs"></script>"""

WEB = ROOT / "web"
PACKAGE = {"wirespeed/react": f"{WEB}/src/react.ts", "wirespeed": f"{WEB}/src/index.ts"}
TYPES = {
    "strict": True,
    "noEmit": True,
    "jsx": "react-jsx",
    "module": "esnext",
    "target": "es2022",
    "moduleResolution": "bundler",
    "types": [],
    "skipLibCheck": True,  # the declarations of packages are not the guide's
    "paths": {name: [file] for name, file in PACKAGE.items()},
}
BUNDLE = {
    "logLevel": "warn",
    "define": {"process.env.NODE_ENV": '"development"'},
    "resolve": {
        "alias": [{"find": name, "replacement": file} for name, file in PACKAGE.items()],
        "dedupe": ["react"],
        "preserveSymlinks": True,
    },
    "build": {"minify": False, "lib": {"entry": "main.js", "formats": ["es"], "fileName": "bundle"}},
}


@pytest.fixture
def components(tmp_path: Path) -> Path:
    """Write, check and bundle the components of the guide."""
    for each in BLOCK.finditer(read(REACT)):
        if each["file"] and each["kind"] in ("ts", "tsx"):
            (tmp_path / each["file"]).write_text(each["code"].replace("days={300}", "days={50}"))
    (tmp_path / "vite.config.ts").unlink()
    (tmp_path / "main.js").write_text(SHOWN)
    (tmp_path / "node_modules").symlink_to(WEB / "node_modules")
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": TYPES, "include": ["*.ts", "*.tsx"]}))
    (tmp_path / "vite.config.mjs").write_text(f"export default {json.dumps(BUNDLE | {'root': str(tmp_path)})};")
    node("typescript/bin/tsc", "--project", str(tmp_path))
    node("vite/bin/vite.js", "build", "--config", str(tmp_path / "vite.config.mjs"))
    return tmp_path


def node(script: str, *arguments: str) -> None:
    """Run a program of the client's packages."""
    program = shutil.which("node")
    assert program is not None
    command = [program, str(WEB / "node_modules" / script), *arguments]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_react(page: Page, components: Path, complaints: list[str]) -> None:
    """The components have the right types, and show the tutorial's price, run, trades and cost, in StrictMode."""
    (components / "page.html").write_text(PAGE)
    with serve(with_files(write("docs/tutorial-browser.md", components))) as server:
        page.goto(f"{server.url}/files/page.html")
        for part in ("#Price", "#Trades"):
            expect(page.locator(part)).to_have_text(re.compile(r"\d"))
            expect_another(page.locator(part))
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#Ask span")).to_have_text(re.compile(r"^\d+(\.\d+)?$"))
        page.get_by_role("button", name="Test").click()
        expect(page.get_by_role("status")).to_have_text(re.compile(r"^Day 50: -?\d+(\.\d+)?, done$"))
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("status")).to_have_count(0)
        page.goto("about:blank")
    assert [each for each in complaints if "React DevTools" not in each] == []
