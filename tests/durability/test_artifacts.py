"""Processes killed while they log artifacts: each version is there once, and whole, with its bytes as they were."""

from __future__ import annotations

import os
import random
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path

import pytest

import maskl
from maskl_storage import Layout
from maskl_storage.catalog.artifacts import claims, entries_of, versions
from maskl_storage.disk.blobs import fetch_blob
from maskl_storage.disk.local import Folder
from maskl_storage.format.artifacts import Version
from maskl_storage.upkeep.compact import compact
from maskl_storage.upkeep.recovery import recover
from maskl_storage.verify.verify import verify
from tests.durability.children import Trap, start

SEED = os.environ.get("MASKL_DURABILITY_SEED", "0")
#: how many processes are killed; four at a time log versions of one name to a store
KILLS = max(8, int(os.environ.get("MASKL_DURABILITY_RUNS", "30")) // 5)
TOGETHER = 4


def content(run_id: str, child: int, number: int) -> str:
    """Return what a version holds: more than a megabyte at times."""
    return f"{run_id} {child} {number} " * (1 + number % 3 * 40_000)


def log_artifacts(root: Path, run_id: str, child: int, trap: Trap, acknowledged: Connection) -> None:
    """Log versions until killed, or 40 of them; each is acknowledged with its number and what its content follows from.

    That is one short message, which a pipe takes whole or not at all.
    """
    os.environ["MASKL_SILENT"] = "true"
    run = maskl.init(dir=root, id=run_id, project="p", resume="allow")
    trap.set(root)
    for number in range(40):
        text = content(run_id, child, number)
        artifact = maskl.Artifact("shared", "model", metadata={"text": text[:40]})
        with artifact.new_file("folder/weights") as file:
            file.write(text)
        with artifact.new_file("same") as file:
            file.write("the same in all")
        if number % 4 == 0:
            artifact.add(maskl.Table(["x"], [[number]]), "table")
        run.log({"epoch": number})
        run.log_artifact(artifact, aliases=["best"] if number % 2 else None)
        acknowledged.send((int(artifact.version[1:]), run_id, child, number))


@pytest.mark.parametrize("episode", range(-(-KILLS // TOGETHER)))
def test_no_version_is_there_twice_and_none_is_lost(episode: int, tmp_path: Path) -> None:
    print(f"MASKL_DURABILITY_SEED={SEED}, episode {episode}")
    chance = random.Random(f"{SEED}-{episode}")
    root = tmp_path / "maskl-store"
    acknowledged: dict[int, str] = {}
    pipes, processes = [], []
    for number in range(TOGETHER):
        here, there = Pipe(duplex=False)
        trap = Trap(chance.choice([chance.randrange(1, 150), chance.randrange(1, 3000)]), chance.random())
        processes.append(start(log_artifacts, root, chance.choice(["shared", f"own-{number}"]), number, trap, there))
        there.close()
        pipes.append(here)
    while pipes:
        for pipe in wait(pipes):
            try:
                version, *about = pipe.recv()  # type: ignore[union-attr]
            except EOFError:
                pipes.remove(pipe)  # type: ignore[arg-type]
                continue
            assert version not in acknowledged, "two processes were given one version"
            acknowledged[version] = content(*about)
    for process in processes:
        process.join()
    died = sum(process.exitcode == -9 for process in processes)
    assert died
    recover(Layout(root))
    check(root, acknowledged, died, tmp_path / "out")
    before = [(one.number, one.digest, one.aliases) for one in versions_of(root)]
    compact(Layout(root), grace=0)
    compact(Layout(root), grace=0)
    assert [(one.number, one.digest, one.aliases) for one in versions_of(root)] == before
    check(root, acknowledged, died, tmp_path / "again")
    assert verify(Layout(root)).faults == []
    assert not list(root.glob("blobs/*.tmp"))


def versions_of(root: Path) -> list[Version]:
    layout = Layout(root)
    return versions(layout)


def check(root: Path, acknowledged: dict[int, str], died: int, out: Path) -> None:
    """Compare what is there with what was acknowledged: a gap is only where a process died."""
    layout, target = Layout(root), Folder(out)
    out.mkdir()
    there = {version.number: version for version in versions(layout, "shared")}
    assert acknowledged.keys() <= there.keys()
    assert len(there.keys() - acknowledged.keys()) <= died  # sealed, and killed before it was said
    claimed = {claim.number for claim in claims(layout.files)}
    assert claimed == set(range(max(claimed, default=-1) + 1))
    assert len(claimed - there.keys()) <= died
    for number, version in there.items():
        entries = {entry.path: entry for entry in entries_of(layout, version)}
        assert {"folder/weights", "same"} <= entries.keys()
        name = f"{number}/weights"
        fetch_blob(layout.files, str(entries["folder/weights"].digest), target, name)
        text = (out / name).read_text()
        assert text == acknowledged.get(number, text)
        assert text.startswith(version.run_id)
        if "table" in entries:
            assert len(maskl.open(root).table(str(entries["table"].reference), run=version.run_id)) == 1
