"""The fenced code blocks of the documentation, and what is to be done with each.

A comment on the line before a block says more than its language does:

    <!-- slow -->                   takes long: its page is run by `make test-slow` alone
    <!-- not run: why -->           commands are looked at, and not run
    <!-- file: path/name.toml -->   written into the page's folder
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))

_FENCED = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """``line`` is that of its first line in the page; ``mark`` the comment before it, or empty."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def file(self) -> str | None:
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else None

    @property
    def slow(self) -> bool:
        return self.mark == "slow"

    @property
    def runs(self) -> bool:
        return (
            self.language in ("sh", "python") and self.file is None and not self.mark.startswith("not run: ")
        )

    def commands(self) -> Iterator[list[str]]:
        """The words of each command that the block holds; none of another language's."""
        for line in self.text.splitlines() if self.language == "sh" else ():
            for part in re.split(r"\s(?:\|\||\||&&)\s", line.strip()):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"\w+=\S*", words[0]):  # a setting for the command behind it
                    words = words[1:]
                if words:
                    yield words

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("text")) + 1,
            found["language"],
            found["text"],
            found["mark"] or "",
        )
        for found in _FENCED.finditer(text)
    ]


ALL = [block for page in PAGES for block in blocks(page)]
