"""What the pages name is there: files, headings, rooms and public names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import maskl
from tests.test_imports import FOLDERS, ORDER

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for folder in (".", "docs", "docs/reference", "storage", "benchmarks")
    for path in (ROOT / folder).glob("*.md")
)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?![a-z]+:)([^)\s#]*)(?:#([^)\s]*))?\)")
#: a file or folder of the repository, named in running text
NAMED = re.compile(r"`((?:docs|tests|storage|maskl|examples|benchmarks|\.ci)/[\w./-]+)`")
#: values of the active run, which no object stands for
OF_THE_RUN = {"run", "config", "summary"}
MODULES = {"errors", "masks", "metrics", "plot"}
#: errors of maskl.errors under the names of W&B's
ALIASES = {"CommError", "Error", "UsageError"}


def anchors(path: Path) -> set[str]:
    """Return what a link can lead to within a page, as both GitHub and the site of the pages make it."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_there_are_pages() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/reference/logging.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = FENCE.sub("", (ROOT / page).read_text("utf-8"))
    for target, anchor in LINK.findall(text):
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.is_file(), f"{page} links to {target}"
        assert not anchor or anchor in anchors(path), f"{page} links to {target}#{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    named = NAMED.findall((ROOT / page).read_text("utf-8"))
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("package", FOLDERS)
def test_the_page_on_the_architecture_has_every_room_in_its_order(package: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    (table,) = re.findall(
        rf"^## The rooms of {package}, from the top\n(.*?)^(?:#|[A-Z])", text, re.MULTILINE | re.DOTALL
    )
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == ORDER[package][::-1]


def test_the_page_on_the_architecture_names_modules_that_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = re.findall(r"`(\w+/\w+\.py)`", text)
    assert named
    assert not [name for name in named if not any((folder / name).exists() for folder in (*FOLDERS.values(), ROOT))]


def test_the_reference_has_every_public_name() -> None:
    pages = (path.read_text("utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))
    shown = set(re.findall(r"^::: maskl\.(\w+)$", "\n".join(pages), re.MULTILINE))
    assert shown == set(maskl.__all__) - OF_THE_RUN - ALIASES - MODULES | MODULES - {"errors"}
