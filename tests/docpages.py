"""The documentation as data: its command blocks, what each needs, and the words of each command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, groupby
from pathlib import Path

from conftest import ROOT

DOCS = ROOT / "docs"
LEARNED = "[learned]"  # a block that needs this runs where torch is installed; one that needs anything else never does
ASSIGNMENT = re.compile(r"[A-Z_]+=")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """Lines of shell on a page. line: where it stands; needs: what its first line says; output: what the page shows."""

    page: Path
    line: int
    text: str
    needs: str
    output: str

    @property
    def runs(self) -> bool:
        """Whether a test can run it."""
        return self.needs in ("", LEARNED)

    def commands(self) -> Iterator[list[str]]:
        """The words of each simple command, without assignments, comments and here-documents."""
        text = re.sub(r"<<'(\w+)'\n.*?^\1$", "", self.text, flags=re.M | re.S)
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.shlex(line, posix=True, punctuation_chars=True)
            words.whitespace_split = True
            for is_operator, command in groupby(words, lambda word: set(word) <= set("&|;<>()")):
                command = list(dropwhile(ASSIGNMENT.match, command))
                if command and not is_operator:
                    yield command

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every page of the site, and the README."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The page's blocks of shell, in order."""
    text, found = page.read_text(encoding="utf-8"), []
    fences = list(_FENCE.finditer(text))
    for fence, after in zip(fences, [*fences[1:], None][: len(fences)], strict=True):
        if fence[1] != "sh":
            continue
        needs = re.match(r"# needs: ([^\n;,]+)", fence[2])
        follows = after is not None and after[1] == "text" and not text[fence.end() : after.start()].strip()
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(page, line, fence[2], needs[1] if needs else "", after[2] if after and follows else ""))
    return found


def inline_commands(page: Path) -> set[str]:
    """Code within sentences and tables that begins with a program of the project."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {code for code in re.findall(r"`([^`\n]+)`", text) if re.match(r"(rdbench|snakemake) ", code)}
