"""The prose is plain English: no file has one of the phrases below, and each phrase has its replacement beside it.

Markdown is checked as a whole; of Python and TypeScript, the docstrings, comments and strings.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

# What not to write, as a regular expression, and what to write instead.
PHRASES = {
    r"\bnobody\b": "'no one', or name the thing: 'no client', 'no watcher'",
    r"\bsomebody\b": "'someone', or name the thing: 'a client', 'a watcher'",
    r"\bwho(?:m)?ever\b": "'any client that', 'everyone who'",
    r"\banew\b": "'again': 'reconnect', 'reload', 'start over'",
    r"\bso many\b(?![^.\n]*\bthat\b)": "'that many', or the number",
    r"\b(?:be|is|are) to be\b|\bto be had\b|\bbe had\b": "'is available', 'must be'",
    r"\btold\b": "'learns', 'is notified', 'receives', 'is reported'",
    r"\btells (?:of|who|what|that)\b": "'reports', 'says', 'names'",
    r"\bput away\b": "'queued', 'stored', 'hidden'",
    r"\bgo(?:es)? on where\b": "'resumes where it left off'",
    r"\bon (?:the|its|their) way\b": "'in transit', 'not yet received'",
    r"\bsent away\b": "'disconnected'",
    r"\bfor ever\b": "'forever'",
    r"\bmakes? JSON of\b": "'serialises to JSON'",
    r"\blook into the log\b": "'check the log'",
    r"(?<!there )\bis no (?!longer|more|better|one\b|less)": "'is not a ...', 'is not ...'",
    r"\ba \w+ of (?:yours|ours|theirs)\b": "'your own ...', 'our ...'",
    r"\ball (?:that )?there (?:is|are)\b|\bwhat there (?:is|are)\b": "name the things: 'all entries'",
    r"(?:^|[.!?] )Who (?:has|is|comes|gets|was|wants|may|does)\b[^?\n]*$": "'A client that ...'",
    r"\bNone for (?:no|un)\w+": "'None if unknown'",
}
DOCSTRING = re.compile(r"(?:What|Who|Whether|How|Of|Whose|Whom|Where)\b")
STRING = re.compile(rf"[\"'](?:\s|\\\n)*{DOCSTRING.pattern}")  # may be such a docstring: few modules have one
DOCSTRING_ADVICE = (
    "a docstring starts with a verb ('Return ...') or a noun ('Number of ...'; for a bool: 'True if ...')"
)
HEADINGS = {"aim", "ours", "is", "does", "gives", "its CPU", "then", "says"}
HEADING_ADVICE = "a table heading is a noun that stands alone: 'Target', 'Wirespeed, CPU per value', 'Meaning'"

SKIPPED = {"node_modules", "dist", "static", "results", ".venv", "build", ".make"}
PATTERN = re.compile(
    "|".join(f"(?P<p{number}>{phrase})" for number, phrase in enumerate(PHRASES)), re.IGNORECASE | re.MULTILINE
)
SCRIPT_TEXT = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`", re.DOTALL)


class Fault(NamedTuple):
    """A phrase in a file, and what to write instead."""

    line: int
    phrase: str
    advice: str


def files() -> Iterator[str]:
    """Give the files to check, by their paths from the root."""
    areas = ("docs/**/*.md", "src/**/*.py", "tests/**/*.py", "benchmarks/**/*.py", "demo/**/*.py", "examples/**/*.py")
    patterns = ("*.md", "*.py", "web/*.md", *areas, "web/test/**/*.ts*", "web/src/**/*.ts", "web/demo/**/*.*")
    for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}):
        name = path.relative_to(ROOT)
        if SKIPPED.isdisjoint(name.parts) and path.name != "test_prose.py":
            yield name.as_posix()


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Give the pieces of prose in a file, each with the number of its first line."""
    source = path.read_text()
    if path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if tokenize.tok_name[token.type] in ("COMMENT", "STRING", "FSTRING_MIDDLE"):
                yield token.start[0], token.string
    elif path.suffix in (".ts", ".tsx", ".js", ".mjs"):
        for match in SCRIPT_TEXT.finditer(source):
            yield source.count("\n", 0, match.start()) + 1, match[0]
    else:
        yield 1, source


def phrases(path: Path) -> Iterator[Fault]:
    """Give the phrases of the list that a file has."""
    advice = list(PHRASES.values())
    for start, text in texts(path):
        for match in PATTERN.finditer(text):
            line = start + text.count("\n", 0, match.start())
            yield Fault(line, match[0].strip(), advice[int((match.lastgroup or "p0")[1:])])


def docstrings(path: Path) -> Iterator[Fault]:
    """Give the docstrings of a module that start with a bare question word."""
    source = path.read_text()
    for node in ast.walk(ast.parse(source)) if STRING.search(source) else ():
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for each in node.body:
                if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
                    text = each.value.value
                    if isinstance(text, str) and DOCSTRING.match(text.strip()):
                        yield Fault(each.lineno, text.strip().partition(" ")[0], DOCSTRING_ADVICE)


def headings(path: Path) -> Iterator[Fault]:
    """Give the headings of tables that are no nouns."""
    lines = path.read_text().splitlines()
    for number, (line, following) in enumerate(pairwise(lines), start=1):
        if line.startswith("|") and re.fullmatch(r"\|(?:\s*:?-+:?\s*\|)+", following.strip()):
            for cell in line.strip("|").split("|"):
                if cell.strip() in HEADINGS:
                    yield Fault(number, cell.strip(), HEADING_ADVICE)


@pytest.mark.parametrize("name", [*files()])
def test_plain_english(name: str) -> None:
    """The file has no phrase of the list, no docstring that starts with a question word, no heading without a noun."""
    path = ROOT / name
    found = [*phrases(path)]
    if path.suffix == ".py":
        found += docstrings(path)
    elif path.suffix == ".md":
        found += headings(path)
    faults = "\n".join(f"{name}:{line}: {phrase!r}: write {advice}" for line, phrase, advice in sorted(found))
    assert not faults, f"\n{faults}"
