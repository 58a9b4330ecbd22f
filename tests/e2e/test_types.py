"""``npx wirespeed types`` as a page's project runs it: packed, installed, and without a network."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.documents import blocks, write
from tests.servers import ROOT, free_port, serve
from tests.waiting import PATIENCE

WEB = ROOT / "web"
GUIDE = "docs/how-to/generate-typescript-types.md"

DOCUMENTS = """
import importlib, json, pathlib, sys
from wirespeed.asyncapi import document
for path in sorted(pathlib.Path("examples").glob("*.py")):
    app = importlib.import_module(f"examples.{path.stem}").app
    (pathlib.Path(sys.argv[1]) / f"{path.stem}.json").write_text(json.dumps(document(app)))
"""

ALL = """
const [folder, ...files] = process.argv.slice(2);
for (const file of files) {
  process.argv = ["node", "wirespeed", "types", `${folder}/${file.replace(".ts", ".json")}`, "-o", file];
  await import(`./node_modules/wirespeed/dist/types.mjs?${file}`);
}
"""
"""Runs the command for all examples in one process."""

RIGHT = """
import { connect } from "wirespeed";
import { useFeed } from "wirespeed/react";
import type { Order, Paths, Quote } from "./live";

export const live = connect<Paths>("http://localhost:8000/live/websocket");
const feed = live.feed("api/v1/price/{symbol}", { symbol: "BTC", side: "sell", tag: ["a"] }, { every: true });
feed.onValue((quote: Quote) => console.log(quote.price.toUpperCase()));
for (const quote of live.table("api/v1/quotes/{day}", { day: "2026-01-02" }).rows.values()) console.log(quote.symbol);
const order: Order = { articleName: "tea" };
const sums: Promise<string> = live.call("api/v1/add", ["1.5", 2], { params: { start: 1 } });
for await (const quote of live.stream("api/v1/count/{start}", { start: 3 }, order)) console.log(quote.day, await sums);
await live.publish("chat/{room}", { room: "hall" }, order);
await live.stream("api/v1/echo").send("text");
export const price = (): string | undefined => useFeed(live, "api/v1/price/{symbol}", { symbol: "BTC" }).value?.price;
try {
  await live.call("api/v1/greet/{name}", { name: "ada", low: 1 }, "hi");
} catch (error) {
  if (live.isRefusal(error, "api/v1/greet/{name}", 422)) console.log(error.detail[0]?.msg);
}
"""

LEFT = "Left out, because they are bytes, which the browser client does not carry: api/v1/reverse\n"

WRONG = """
import { live } from "./right";

live.feed("api/v1/prize/{symbol}", { symbol: "BTC" }); // error
live.feed("api/v1/price/{symbol}", { symbl: "BTC" }); // error
live.feed("api/v1/price/{symbol}", { symbol: "BTC", side: "hold" }); // error
live.feed("api/v1/add"); // error
live.feed("files/{name}", { name: "a" }); // error
await live.call("ticks"); // error
await live.call("api/v1/add", [true]); // error
await live.publish("chat/{room}", { room: "hall" }, { item: "tea" }); // error
await live.publish("notices", "hi"); // error
live.table("ticks"); // error
live.feed("api/v1/price/{symbol}", { symbol: "BTC" }).onValue((quote) => quote.prize); // error
live.stream("api/v1/count/{start}", { start: 3 }, { articleName: 5 }); // error
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack the package, and install it in the folder of a project, beside TypeScript."""
    source, folder = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("project")
    for name in ("package.json", "README.md", "LICENSE"):
        shutil.copy(WEB / name, source)
    shutil.copytree(WEB / "src", source / "src")
    node("typescript/bin/tsc", "--project", "tsconfig.build.json", "--outDir", str(source / "dist"))
    node("vite/bin/vite.js", "build", "--config", "types/vite.config.ts", "--outDir", str(source / "dist"))
    packed = run("npm", "pack", "--ignore-scripts", "--silent", cwd=source).stdout.strip()
    modules = folder / "node_modules"
    with tarfile.open(source / packed) as tarball:
        tarball.extractall(modules, filter="data")
    (modules / "package").rename(modules / "wirespeed")
    for name in ("centrifuge", "events", "protobufjs", "react", "@types", "typescript", "csstype"):
        (modules / name).symlink_to(WEB / "node_modules" / name)
    (modules / ".bin").mkdir()
    command = json.loads((modules / "wirespeed" / "package.json").read_text())["bin"]["wirespeed"]
    (modules / ".bin" / "wirespeed").symlink_to(f"../wirespeed/{command}")
    (modules / "wirespeed" / command).chmod(0o755)
    (folder / "package.json").write_text('{"private": true}')
    return folder


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Start a server."""
    with serve("tests.apps.typed:app") as server:
        yield server.url


def run(*command: str, cwd: Path = WEB, code: int = 0, given: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a program, and check its exit code."""
    program = shutil.which(command[0])
    assert program is not None
    done = subprocess.run(
        [program, *command[1:]], cwd=cwd, input=given, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def node(script: str, *arguments: str) -> None:
    """Run a program of the client's packages."""
    run("node", str(WEB / "node_modules" / script), *arguments)


def types(project: Path, *arguments: str, code: int = 0, given: str = "") -> str:
    """Run the installed command; return what it writes to stderr, without the paths left out, or else to stdout."""
    command = str(project / "node_modules/.bin/wirespeed")
    done = run(command, "types", *arguments, cwd=project, code=code, given=given)
    return done.stderr.replace(LEFT, "") or done.stdout


def compiled(project: Path, *files: str, packages: bool = False) -> dict[str, set[int]]:
    """Return the lines with errors of each file of a project, and of the declarations of its ``packages``."""
    options = {"strict": True, "noEmit": True, "module": "esnext", "target": "es2022", "moduleResolution": "bundler"}
    more = {
        "types": [],
        "skipLibCheck": not packages,
        "exactOptionalPropertyTypes": True,
        "noUncheckedIndexedAccess": True,
    }
    config = {"compilerOptions": options | more | {"lib": ["es2022", "dom"]}, "files": files}
    (project / "tsconfig.json").write_text(json.dumps(config))
    program = [str(shutil.which("node")), str(WEB / "node_modules/typescript/bin/tsc"), "--pretty", "false"]
    done = subprocess.run(program, cwd=project, capture_output=True, text=True, timeout=PATIENCE, check=False)
    found: dict[str, set[int]] = {}
    for line in done.stdout.splitlines():
        if not line.startswith(" "):
            file, _, rest = line.partition("(")
            assert rest, done.stdout
            found.setdefault(file, set()).add(int(rest.partition(",")[0]))
    return found


def test_project_compiles_and_a_wrong_one_is_refused(project: Path, url: str, tmp_path: Path) -> None:
    """The types of a server, and those of all examples, compile; each wrong line has an error, and no other line."""
    assert run("npx", "--offline", "wirespeed", "types", url, "-o", "live.ts", cwd=project).stderr == LEFT
    environment = os.environ | {"WIRESPEED_BROKER": "redis://localhost"}
    subprocess.run([sys.executable, "-c", DOCUMENTS, str(tmp_path)], cwd=ROOT, env=environment, check=True)
    examples = [f"{each.stem}.ts" for each in tmp_path.iterdir()]
    assert len(examples) == len(list((ROOT / "examples").glob("*.py")))
    (project / "all.mjs").write_text(ALL)
    run("node", "all.mjs", str(tmp_path), *examples, cwd=project)
    (project / "right.ts").write_text(RIGHT)
    (project / "wrong.ts").write_text(WRONG)
    wrong = {number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("// error")}
    assert compiled(project, "right.ts", "wrong.ts", *examples, packages=True) == {"wrong.ts": wrong}


def test_guide(project: Path, tmp_path: Path) -> None:
    """The app of the guide gives the types that it shows, and all that it does with them compiles."""
    write(GUIDE, tmp_path)
    command = ["-m", "wirespeed", "types", "main:app", "-o", str(project / "paths.ts")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, check=True)
    rest = (project / "paths.ts").read_text()
    (shown,) = blocks(GUIDE, "ts")
    for line in shown.splitlines():
        _, found, rest = rest.partition(f"{line}\n")
        assert found, line
    files = ["live.ts", "prices.ts", "others.ts", "book.ts"]
    for file in files:
        (project / file).write_text("".join(blocks(GUIDE, "ts", file)))
    assert compiled(project, *files) == {}


def test_same_text_again(project: Path, url: str) -> None:
    """A server and its document give the same text; ``--check`` accepts it, also with the line ends of Windows."""
    types(project, f"{url}/live/asyncapi.json", "-o", "one.ts")
    text = (project / "one.ts").read_text()
    assert types(project, "-", given=types(project, url, "--json")) == text
    (project / "one.ts").write_bytes(text.replace("\n", "\r\n").encode())
    assert types(project, url, "-o", "one.ts", "--check") == ""


def test_file_is_not_written_without_need(project: Path, url: str) -> None:
    """A file that is up to date is left alone, so that tools that watch it do nothing."""
    types(project, url, "-o", "one.ts")
    before = (project / "one.ts").stat().st_mtime_ns
    types(project, url, "-o", "one.ts")
    assert (project / "one.ts").stat().st_mtime_ns == before


def test_check_shows_the_first_difference(project: Path, url: str) -> None:
    """A file that is old or missing gives exit code 1, with the difference and the command."""
    types(project, url, "-o", "old.ts")
    file = project / "old.ts"
    file.write_text(file.read_text().replace("symbol: string", "symbol: number", 1))
    said = types(project, url, "-o", "old.ts", "--check", code=1)
    assert said.startswith(f"old.ts is not up to date with {url}. The first difference is in line ")
    assert "-       symbol: number;" in said
    assert "+       symbol: string;" in said
    assert said.endswith(f"To update it: wirespeed types {url} -o old.ts\n")
    assert "symbol: number" in file.read_text()
    assert "It does not exist." in types(project, url, "-o", "missing.ts", "--check", code=1)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/docs", "is not JSON: it begins with"),
        ("/openapi.json", "is an OpenAPI document. Wirespeed serves its AsyncAPI document at /live/asyncapi.json."),
        ("/live/asyncapi", "answers with status 404. If this is an app with Wirespeed, its document has another"),
    ],
)
def test_another_page(project: Path, url: str, path: str, problem: str) -> None:
    """A page that is not the document gives a sentence, and no types."""
    assert f"{url}{path} {problem}" in types(project, url + path, code=1)


def test_document_that_has_no_types(project: Path) -> None:
    """A document on which the library for types fails gives a sentence, and not the library's code."""
    value = {"type": "object", "properties": {"hasOwnProperty": {"type": "string"}}}
    channel = {"x-wirespeed": {"kind": "topic", "channel": "news", "value": value}}
    said = types(project, "-", given=json.dumps({"asyncapi": "3.0.0", "channels": {"news": channel}}), code=1)
    assert said.startswith("The standard input cannot be turned into types: TypeError: ")
    assert said.count("\n") == 1


def test_no_server(project: Path) -> None:
    """An address without a server is named, with an exit code of its own."""
    address = f"http://127.0.0.1:{free_port()}"
    said = types(project, address, code=3)
    assert said.startswith(f"{address}/live/asyncapi.json cannot be reached: ")
    assert said.endswith("Start the app, and check the address.\n")


def test_files_that_cannot_be_used(project: Path, url: str) -> None:
    """A file that cannot be read or written is named, with the reason."""
    assert types(project, "none.json", code=1).startswith("none.json cannot be read: no such file or directory. Give")
    said = types(project, url, "-o", "none/live.ts", code=1)
    assert said == "none/live.ts cannot be written: no such file or directory.\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["a", "b"], "Give one source"),
        (["a", "--check"], "--check needs the file that it checks: -o FILE."),
        (["a", "--chek"], "Unknown option '--chek'. See wirespeed types --help."),
        (["-", "--header", "Bearer"], '"Bearer" is not a header; write one like'),
        (["http://"], "http:// is not a URL"),
    ],
)
def test_wrong_usage(project: Path, arguments: list[str], problem: str) -> None:
    """A command line that cannot work gives a sentence."""
    assert types(project, *arguments, code=2).startswith(problem)
