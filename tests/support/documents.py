"""The Markdown documents: their links, headings, blocks of code and commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), ROOT / "manifests" / "README.md", *(ROOT / "docs").glob("*.md")])

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of code: its language and its text."""

    language: str
    text: str

    def commands(self) -> Iterator[str]:
        """The commands of a block of bash, without comments, one each."""
        for line in self.text.replace("\\\n", " ").splitlines():
            for command in re.split(r" && (?=make |kind |gcloud )", re.sub(r"(^|\s)# .*", "", line)):
                if command.strip():
                    yield command.strip()

    def dialogue(self) -> Iterator[tuple[str, str]]:
        """The commands of a block of console, each with the output that is printed below it."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output.strip()


def name(document: Path) -> str:
    """A document's path from the root."""
    return str(document.relative_to(ROOT))


def blocks(document: Path) -> list[Block]:
    """The fenced blocks, in their order."""
    return [Block(*match) for match in _BLOCK.findall(document.read_text())]


def prose(document: Path) -> str:
    """The text without its fenced blocks."""
    return _BLOCK.sub("", document.read_text())


def links(document: Path) -> list[str]:
    """The targets of links and images that lead into the repository."""
    return [link for link in _LINK.findall(prose(document)) if "://" not in link]


def anchors(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = _HEADING.findall(prose(document))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(document: Path) -> list[str]:
    """Every command in a block of code, and every `make ...` and `modelport ...` in the prose."""
    found = [command for block in blocks(document) if block.language == "bash" for command in block.commands()]
    found += [command for block in blocks(document) if block.language == "console" for command, _ in block.dialogue()]
    return found + [code for code in _INLINE.findall(prose(document)) if re.match(r"(make|modelport) [a-z]", code)]


def words(command: str) -> list[str]:
    """A command's words, without the pipes and lists that follow it."""
    split = shlex.split(command.replace("\n", " "))
    return split[: next((at for at, word in enumerate(split) if word in ("|", "&&", ";")), len(split))]
