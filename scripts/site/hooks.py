"""What `mkdocs build` does beside building the pages of docs/.

- The navigation is the index of the documentation, docs/README.md.
- The API reference has a page for each public module.
- Files of the repository that pages link to, outside docs/, become pages or files below `source/`.
- Pictures that stand for a part of the demo show it live where the site is served beside it, see `live.js`.
"""

import ast
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent

FENCED = re.compile(r"^(`{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
LIVE = re.compile(r"^<!-- live: (?P<section>\w+) -->\n(?P<pictures>(?:!\[[^\]]*\]\([^)]+\)\n)+)", re.MULTILINE)
PICTURE = re.compile(
    r'^<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="(?P<dark>[^"]+)">\s*'
    r'<img alt="(?P<alt>[^"]+)" src="(?P<light>[^"]+)">\s*</picture>$',
    re.MULTILINE,
)
GROUP = re.compile(r"^(?P<title>[^\n#\-].*?)(?:, each one file in.*)?:$")
ENTRY = re.compile(r"^- \[(?P<title>[^\]]+)\]\((?P<path>[^)#]+\.md)\)")

API = {
    "wirespeed": "The names that an app imports.",
    "wirespeed.client": "A client for scripts and services: `pip install wirespeed[client]`.",
    "wirespeed.testing": "Clients, a clock, assertions and crowds for tests.",
    "wirespeed.tokens": "Identities from JSON Web Tokens: `pip install wirespeed[jwt]`.",
    "wirespeed.metrics": "Figures for Prometheus: `pip install wirespeed[metrics]`.",
    "wirespeed.asyncapi": "The AsyncAPI document of an app.",
}
"""The public modules with a page in the API reference."""

LANGUAGES = {
    ".py": "python",
    ".ts": "typescript",
    ".tsx": "tsx",
    ".toml": "toml",
    ".json": "json",
    ".mjs": "javascript",
}


def slug(heading: str, separator: str) -> str:
    """Return the anchor of a heading, as the view of a repository makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", separator)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the anchors, and the navigation."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug
    parts = sections((Path(config.docs_dir) / "README.md").read_text())
    config.nav = [
        {"Documentation": ["README.md", {"Changes": "source/CHANGELOG.md"}]},
        *({title: parts[title]} for title in ("Tutorials", "How-to guides", "Topics")),
        {"Reference": [*parts["Reference"], {"API": [{name: f"api/{name}.md"} for name in API]}]},
    ]
    return config


def sections(index: str) -> dict[str, list[Any]]:
    """Return the entries of the index below each heading; a line that ends with a colon begins a group of them."""
    found: dict[str, list[Any]] = {}
    here: list[Any] = []
    for line in index.splitlines():
        if line.startswith("## "):
            here = found[line[3:]] = []
        elif found and (group := GROUP.match(line)):
            here = []
            list(found.values())[-1].append({group["title"]: here})
        elif entry := ENTRY.match(line):
            here.append({entry["title"]: entry["path"]})
    return {title: flat([each for each in entries if [] not in each.values()]) for title, entries in found.items()}


def flat(entries: list[Any]) -> list[Any]:
    """Return the entries of a single group without the group."""
    (first, *others) = entries
    groups = [each for each in first.values() if isinstance(each, list)]
    return groups[0] if groups and not others else entries


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that are made here."""
    for name in ("live.js", "site.css"):
        files.append(File.generated(config, f"assets/{name}", content=(HERE / name).read_text()))
    for module, about in API.items():
        files.append(File.generated(config, f"api/{module}.md", content=api_page(module, about)))
    linked = {target for file in files.documentation_pages() for target in outside(file.src_uri, file.content_string)}
    for target in sorted(linked | {"CHANGELOG.md"}):
        add_source(target, files, config)
    return files


def api_page(module: str, about: str) -> str:
    """Return the page of a module's public names."""
    path = ROOT / "src" / module.replace(".", "/")
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return "\n\n".join([f"# {module}", about, *(f"::: {module}.{name}" for name in public_names(source))]) + "\n"


def public_names(source: Path) -> list[str]:
    """Return the names in a module's ``__all__``; without one, those of its public functions and classes."""
    tree = ast.parse(source.read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return sorted(ast.literal_eval(node.value), key=str.lower)
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return sorted({each.name for each in tree.body if isinstance(each, kinds) and not each.name.startswith("_")})


def outside(page: str, text: str) -> set[str]:
    """Return the files of the repository, outside docs/, that a page links to."""
    return {target for each in LINK.finditer(FENCED.sub("", text)) if (target := target_of(page, each["path"]))}


def target_of(page: str, link: str) -> str:
    """Return the path in the repository that a link of a page leads to; empty if that is in docs/, or elsewhere."""
    if ":" in link or page.startswith("source/"):
        return ""
    target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    return "" if target.startswith("docs/") else target


def add_source(target: str, files: Files, config: MkDocsConfig) -> None:
    """Add a file of the repository: text is shown as a page, pictures are copied."""
    path = ROOT / target
    if path.suffix in (".svg", ".png"):
        files.append(File.generated(config, f"source/{target}", abs_src_path=str(path)))
    elif path.suffix == ".md":
        files.append(File.generated(config, f"source/{target}", content=moved(target, path.read_text(), files)))
    elif path.is_file():
        language = LANGUAGES.get(path.suffix, "text")
        content = f"# {target}\n\n````{language}\n{path.read_text()}````\n"
        files.append(File.generated(config, f"source/{target}.md", content=content))


def moved(target: str, text: str, files: Files) -> str:
    """Return a page from outside docs/ with links that fit its place on the site; what is not there is plain text."""

    def replaced(match: re.Match[str]) -> str:
        if ":" in match["link"]:
            return match[0]
        path, _, anchor = match["link"].partition("#")
        found = posixpath.normpath(posixpath.join(posixpath.dirname(target), path)) if path else target
        place = found.removeprefix("docs/") if found.startswith("docs/") else f"source/{found}"
        if found != target and files.get_file_from_path(place) is None:
            return "" if match["image"] else match["text"]
        link = posixpath.relpath(place, posixpath.dirname(f"source/{target}"))
        return f"{match['image']}[{match['text']}]({link}{'#' if anchor else ''}{anchor})"

    link = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<link>[^)\s]+)\)")
    return beside_fences(themed(text), link, replaced)


def themed(text: str) -> str:
    """Return a page whose pictures for the light and the dark follow the theme, instead of the browser's preference."""
    return PICTURE.sub(r"![\g<alt>](\g<light>#only-light)\n![\g<alt>](\g<dark>#only-dark)", text)


def beside_fences(text: str, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]) -> str:
    """Replace what a pattern finds, except in blocks of code."""
    parts, at = [], 0
    for fence in FENCED.finditer(text):
        parts += [pattern.sub(replace, text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, pattern.sub(replace, text[at:])])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links out of docs/ to their places on the site, and mark the pictures that stand for a part of the demo."""
    here = page.file.src_uri

    def replaced(match: re.Match[str]) -> str:
        target = target_of(here, match["path"])
        if not target:
            return match[0]
        place = f"source/{target}"
        if files.get_file_from_path(place) is None:
            place += ".md"
        return posixpath.relpath(place, posixpath.dirname(here)) + (match["anchor"] or "")

    return LIVE.sub(live, beside_fences(themed(markdown), LINK, replaced))


def live(match: re.Match[str]) -> str:
    """Return the pictures of a section of the demo, which a script may replace by the section itself."""
    return (
        f'<figure class="live" data-section="{match["section"]}" markdown>\n{match["pictures"]}'
        "<figcaption>A picture of the demo. To see it live here, run `make docs` and `make run`, and open "
        "`http://localhost:8000/guide/`.</figcaption>\n</figure>\n"
    )
