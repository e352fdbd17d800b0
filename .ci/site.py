"""What makes a site of the repository's pages: mkdocs calls this as a hook, mkdocstrings as an extension.

README.md, SPEC.md and others lie where a reader of the repository looks for them; here they become pages. A link to any
other file of the repository leads to a page that shows it, so that the site is whole without the repository. A link to
a file that is not there is an error, as every warning is (``mkdocs build --strict``).
"""

from __future__ import annotations

import posixpath
import re
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from griffe import Extension
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
#: files outside of docs/ that are pages, and what each is called there
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "storage/SPEC.md": "format.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
    "benchmarks/README.md": "benchmarks-method.md",
}
LINK = re.compile(r"(?<!\\)(!?\[[^\]]*\]\()([^)\s#]+)(#[^)\s]*)?(\))")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
ROLE = re.compile(r":(class|func|meth|mod|attr|data|exc):`(?:([^`<]+)\s<([^`>]+)>|~?([^`]+))`")
KINDS = {".py": "python", ".json": "json", ".sql": "sql", ".toml": "toml", ".yml": "yaml", ".html": "html"}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside of docs/, and one for each other file that a page links to."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    shown = {
        path
        for file in files.documentation_pages()
        for path in linked(file.content_string, source_of(file.src_uri))
        if (ROOT / path).is_file() and path not in PAGES and not path.startswith("docs/")
    }
    for path in sorted(shown):
        text = (ROOT / path).read_text("utf-8")
        content = f"# {path}\n\n`````{KINDS.get(PurePosixPath(path).suffix, 'text')}\n{text}`````\n"
        files.append(File.generated(config, f"source/{path}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files of the repository into links to their pages."""
    source = source_of(page.file.src_uri)
    if source is None:
        return markdown
    folder = posixpath.dirname(page.file.src_uri)

    def turned(match: re.Match[str]) -> str:
        before, target, anchor, after = match.groups(default="")
        path = resolved(target, source)
        if path is None or not (ROOT / path).is_file():
            return match[0]  # mkdocs knows what to say of it
        to = PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else f"source/{path}.md")
        return f"{before}{posixpath.relpath(to, folder or '.')}{anchor}{after}"

    return outside_code(markdown, turned)


def source_of(page: str) -> str | None:
    """Return the file of the repository that a page is made of; None where it shows a file."""
    if page.startswith("source/"):
        return None
    return next((source for source, name in PAGES.items() if name == page), f"docs/{page}")


def linked(markdown: str, source: str | None) -> set[str]:
    """Return the files that a page links to, as paths from the repository's root."""
    if source is None:
        return set()
    found = (resolved(match[2], source) for match in LINK.finditer(FENCE.sub("", markdown)))
    return {path for path in found if path is not None}


def resolved(target: str, source: str) -> str | None:
    """Return the path from the repository's root of what a link in a file leads to; None where it leads away."""
    if re.match(r"[a-z]+:|/", target):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))


def outside_code(markdown: str, turned: Any) -> str:
    """Replace links, save in blocks of code."""
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [LINK.sub(turned, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, LINK.sub(turned, markdown[end:])])


class Roles(Extension):  # type: ignore[misc]  # griffe is in the environment of the pages only
    """Turns the roles of docstrings, such as ``:class:`maskl.Image```, into links where the reference has the name."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Look at the docstring of each object."""
        if obj.docstring is not None:
            text = obj.docstring.value.replace("::\n", ":\n")  # a block follows, which Markdown needs no word for
            obj.docstring.value = ROLE.sub(partial(self._linked, obj), text)

    def _linked(self, obj: Any, match: re.Match[str]) -> str:
        role, text, named, alone = match.groups()
        name = named or alone
        if name.split(".")[0] in ("maskl", "maskl_storage"):
            target = name
        elif role in ("meth", "attr") and "." not in name:
            target = f"{(obj if obj.is_class else obj.parent).path}.{name}"
        else:
            target = f"{obj.module.path}.{name}"
        return f'<autoref identifier="{target}" optional>`{text or alone}`</autoref>'
