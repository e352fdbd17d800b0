"""Pairs of folders: images in one, masks in another, matched by name.

A pattern is the path of files from the source, with ``*`` for what an image and its mask share
(``images/*.jpg`` and ``labels/*_mask.png``), or of a folder, whose files are matched by all of their
names but the ending.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from maskl.interchange.documents import CLASSES, read_classes
from maskl.interchange.format import Format
from maskl.interchange.options import ImportOptions
from maskl.interchange.problems import Problems
from maskl.interchange.records import GROUND_TRUTH, IMAGE, Layout, Record, blocks
from maskl.interchange.source_files import SourceFile, beside, has_folder, walk
from maskl.interchange.untrusted import mask_of, read_ids, read_image
from maskl_storage.errors import InvalidValue, NotFound
from maskl_storage.format.metadata import ClassSet

__all__ = ["FORMAT", "read", "sniff"]

IMAGES: Final = "images"
MASKS: Final = "masks"
#: a pattern may begin with the mask's key
KEYED: Final = re.compile(r"([^/\\=*]+)=(.+)")


def sniff(source: Path) -> bool:
    """Whether a source is a folder with ``images`` and ``masks``."""
    return has_folder(source, IMAGES) and has_folder(source, MASKS)


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Yield an image with its masks for each name.

    Classes are those of the file that ``options`` names, else of ``classes.json`` in the source. Pictures
    of colours are masks where the classes have these colours. An image without a mask is a row without
    one; a mask without an image is an error.
    """
    if not source.is_dir():
        raise InvalidValue(f"{source} is no folder of images and masks")
    classes = _classes(source, options)
    links = options.follow_links
    images = _matched(source, options.images or IMAGES, links)
    patterns = _patterns(source, options)
    masks = {key: _matched(source, pattern, links) for key, pattern in patterns.items()}
    if not images:
        raise NotFound(f"{source}: no files are like {options.images or IMAGES!r}: say where images are with --images")
    for key, matched in masks.items():
        if not matched.keys() & images.keys():
            example = next((repr(name) for name in matched), f"nothing, for no files are like {patterns[key]!r}")
            raise NotFound(
                f"{source}: no mask {key!r} has the name of an image: images are called {next(iter(images))!r}, masks "
                f"{example}: say where masks are with --mask PATTERN"
            )
        for name in sorted(matched.keys() - images.keys()):
            problems.bad(matched[name], None, f"a mask without an image {name!r}")
        for name in sorted(images.keys() - matched.keys()):
            problems.left(f"images without a mask {key!r}", images[name].relative)

    def row(_: int, name: str) -> list[Any]:
        mine = {key: matched.get(name) for key, matched in masks.items()}
        return [name, _image(images[name], mine, classes)]

    yield from blocks(Layout("", ["name", IMAGE], source), sorted(images), row, problems)


def _image(file: SourceFile, masks: Mapping[str, SourceFile | None], classes: ClassSet) -> Any:
    made = {}
    for key, mask in masks.items():
        if mask is not None:
            made[key] = mask_of(read_ids(mask, classes), key, classes)
    return read_image(file, None, made, sized=True)


def _classes(source: Path, options: ImportOptions) -> ClassSet:
    if options.classes is not None:
        return read_classes(options.classes)
    path = beside(source, CLASSES, links=options.follow_links)
    return ClassSet() if path is None else read_classes(path)


def _patterns(source: Path, options: ImportOptions) -> dict[str, str]:
    """Return the pattern of each mask by key; without any, folders in ``masks`` are keys."""
    if options.masks:
        patterns: dict[str, str] = {}
        for text in options.masks:
            match = KEYED.fullmatch(text)
            key, pattern = (match[1], match[2]) if match else (GROUND_TRUTH, text)
            if key in patterns:
                raise InvalidValue(
                    f"mask {key!r} has two patterns, {patterns[key]!r} and {pattern!r}: write KEY=PATTERN"
                )
            patterns[key] = pattern
        return patterns
    inner = {file.parts[1]: len(file.parts) for file in walk(source, MASKS, links=options.follow_links)}
    if inner and all(parts > 2 for parts in inner.values()):
        return {name: f"{MASKS}/{name}" for name in sorted(inner)}
    return {GROUND_TRUTH: MASKS}


def _matched(source: Path, pattern: str, links: bool) -> dict[str, SourceFile]:
    """Return the files that a pattern matches, by what stands for its ``*``.

    Raises
    ------
    InvalidValue
        A pattern that leads out of the source, or two files of one name.
    """
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise InvalidValue(f"pattern {pattern!r} leads out of {source}: it counts from there")
    if "*" not in pattern:
        pattern = f"{pattern.rstrip('/')}/**.*"
    base = pattern.partition("*")[0].rpartition("/")[0]
    # what ends in .* may end in anything
    wanted = re.sub(
        r"\\\*(\\\*)?", lambda star: "(.+)" if star[1] else "([^/]+)", re.escape(pattern.removesuffix(".*"))
    )
    expression = re.compile(wanted + (r"\.[^./]+" if pattern.endswith(".*") else ""))
    matched: dict[str, SourceFile] = {}
    for file in walk(source, base, links=links):
        match = expression.fullmatch(file.relative)
        if match is None or any(part.startswith(".") for part in file.parts):
            continue
        name = "/".join(match.groups())
        if name in matched:
            raise InvalidValue(f"{matched[name]} and {file} have one name, {name!r}: say which with a pattern")
        matched[name] = file
    return matched


FORMAT: Final = Format("folders", read=read, sniff=sniff, heeds=("images", "masks", "classes", "follow_links"))
