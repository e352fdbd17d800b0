"""Artifacts before they are logged, which is as far as W&B goes without its server."""

from __future__ import annotations

from typing import Any

from tests.conformance.scenario import Side, same


def filled(side: Side) -> Any:
    """Return an artifact with a file, a text and an address."""
    (side.directory / "below").mkdir(exist_ok=True)
    path = side.directory / "below" / "model.pt"
    path.write_bytes(b"weights")
    artifact = side.module.Artifact("unet", "model")
    artifact.add_file(str(path))
    artifact.add_file(str(path), name="in/한강.pt")
    with artifact.new_file("notes.txt", encoding="utf-8") as file:
        file.write("메모")
    return artifact


@same(
    *("Artifact(name)", "Artifact(type)", "Artifact(description)", "Artifact(metadata)", "Artifact.name"),
    *("Artifact.type", "Artifact.description", "Artifact.metadata", "Artifact.is_draft", "Artifact.state"),
    "Artifact.incremental",
)
def an_artifact(side: Side) -> object:
    made = side.module.Artifact("unet", "model", description="the best", metadata={"miou": 0.5, "sizes": [1, 2]})
    found = [made.name, made.type, made.description, made.metadata, made.is_draft(), made.state, made.incremental]
    made.description, made.metadata = "other", {"a": None}
    return [*found, made.description, made.metadata]


@same("Artifact(name)", "Artifact(metadata)")
def artifacts_that_are_none(side: Side) -> object:
    given: list[tuple[Any, ...]] = [("a/b", "t"), ("a:b", "t"), ("a" * 300, "t"), ("a", "t", None, [1])]
    return [side.refuses(lambda given=given: side.module.Artifact(*given)) for given in given]


@same("Artifact.add_file", "Artifact.new_file", "Artifact.size")
def files_in_an_artifact(side: Side) -> object:
    artifact = filled(side)
    entries = [artifact.manifest.entries[name] for name in ("model.pt", "in/한강.pt", "notes.txt")]
    return [*([str(entry.path), entry.size, entry.ref] for entry in entries), artifact.size]


@same("Artifact.add_file")
def files_that_cannot_be_added(side: Side) -> object:
    artifact = filled(side)
    other = side.directory / "other"
    other.write_bytes(b"other")
    return [
        side.refuses(lambda: artifact.add_file(str(side.directory / "none"))),
        side.refuses(lambda: artifact.add_file(str(other), name="model.pt")),
        artifact.add_file(str(other), name="model.pt", overwrite=True).size,
    ]


@same("Artifact.manifest", "Artifact.remove", "Artifact.finalize")
def what_is_in_an_artifact(side: Side) -> object:
    artifact = filled(side)
    before = sorted(artifact.manifest.entries)
    artifact.remove("model.pt")
    artifact.remove("in")
    after = sorted(artifact.manifest.entries)
    refused = side.refuses(lambda: artifact.remove("none"))
    artifact.finalize()
    return [before, after, refused, side.refuses(lambda: artifact.add_file(__file__))]


@same("Artifact.add_reference")
def addresses(side: Side) -> object:
    artifact = side.module.Artifact("refs", "data")
    path = side.directory / "a.txt"
    path.write_text("text")
    (entry,) = artifact.add_reference(path.as_uri())
    (other,) = artifact.add_reference("unknown://host/b.txt", name="in/b.txt")
    return [
        *(str(entry.path), entry.size, entry.ref == path.as_uri(), str(other.path), other.ref),
        side.refuses(lambda: artifact.add_reference("no address")),
    ]
