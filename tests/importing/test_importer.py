"""``import_dataset`` as Python calls it: its arguments, what it returns, and its bar."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.annotations.sink import sink
from maskl.errors import InvalidType, InvalidValue, NotFound, UnnamedClassWarning
from maskl.importing.importer import Imported, import_dataset
from tests.formats.read.hostile import save


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two images, with masks of two keys elsewhere."""
    for number in range(2):
        save(tmp_path / "camvid" / "img" / f"{number}.png", np.full((2, 3, 3), number))
        for key in "ab":
            save(tmp_path / "camvid" / key / f"{number}.png", np.full((2, 3), number))
    (tmp_path / "names.json").write_text('{"0": "road"}')
    return tmp_path / "camvid"


def test_what_the_command_takes_are_arguments(pairs: Path, tmp_path: Path) -> None:
    found = import_dataset(
        str(pairs),
        "folders",
        dir=str(tmp_path / "store"),
        run="mine",
        name="Mine",
        table="val",
        step=7,
        images="img/*.png",
        masks=["first=a", "second=b/*.png"],
        classes=str(tmp_path / "names.json"),
    )
    assert found == Imported(("mine",), {"val": 2})
    store = maskl.open(tmp_path / "store")
    assert [(info.run_id, info.name) for info in store.runs()] == [("mine", "Mine")]
    rows = store.table("val")
    assert [row.step for row in rows] == [7, 7]
    assert set(rows[1]["image"].masks) == {"first", "second"}
    assert rows[1]["image"].masks["second"].class_labels == {0: "road"}


def test_one_mask_needs_no_list(pairs: Path, tmp_path: Path) -> None:
    import_dataset(pairs, "folders", images=Path("img"), masks="a", dir=tmp_path / "store")
    assert set(maskl.open(tmp_path / "store").table("camvid")[0]["image"].masks) == {"ground_truth"}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"format": "xls"}, InvalidValue, "format must be one of wandb, huggingface, parquet"),
        ({"format": ""}, InvalidValue, "format must be one of"),
        ({"table": 5}, InvalidType, "table must be a name; got 5"),
        ({"step": "1"}, InvalidType, "step must be a whole number; got '1'"),
        ({"step": True}, InvalidType, "step must be a whole number; got True"),
        ({"masks": [5]}, InvalidType, "masks must be a list of columns or patterns"),
        ({"source": "none"}, NotFound, "there is no file or folder none to import"),
    ],
)
def test_arguments_that_are_wrong(
    pairs: Path, tmp_path: Path, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        import_dataset(**({"source": pairs, "dir": tmp_path / "store"} | arguments))
    assert not (tmp_path / "store").exists()


def test_what_an_import_came_to_does_not_change(pairs: Path, tmp_path: Path) -> None:
    found = import_dataset(pairs, "folders", images="img", masks="a", dir=tmp_path / "store")
    for entry in dataclasses.fields(found):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(found, entry.name, None)
        assert f"{entry.name} : " in str(Imported.__doc__)


@pytest.mark.parametrize(
    ("progress", "terminal", "shown"),
    [(None, False, False), (None, True, True), (False, True, False), (True, False, True)],
)
def test_rows_are_counted_on_a_terminal_only(
    pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    progress: bool | None,
    terminal: bool,
    shown: bool,
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    import_dataset(pairs, "folders", images="img", masks="a", dir=tmp_path / "store", progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("importing" in err) == shown


def test_an_import_while_a_run_is_active(pairs: Path, start: Callable[..., maskl.Run], tmp_path: Path) -> None:
    with start(name="active") as run:
        import_dataset(pairs, "folders", images="img", masks="a", dir=tmp_path / "other")
        run.log({"x": 1})
    assert [info.name for info in maskl.open(tmp_path / "other").runs()] == ["camvid"]


def test_an_import_leaves_all_that_the_active_run_chose_as_it_was(
    pairs: Path, start: Callable[..., maskl.Run], tmp_path: Path
) -> None:
    with start(settings={"strict": True, "truth_keys": ("b",)}):
        before = vars(sink).copy()
        with sink.lent_to(before["writer"]):
            assert vars(sink) != before
        import_dataset(pairs, "folders", images="img", masks="a", dir=tmp_path / "other")
        assert vars(sink) == before
        with contextlib.suppress(NotFound):
            import_dataset(pairs, "folders", images="no", masks="a", dir=tmp_path / "other")
        assert vars(sink) == before
        assert sink.log_artifact is not None


def test_what_is_odd_about_ids_is_said_once_an_import(pairs: Path, tmp_path: Path) -> None:
    for number in range(2, 100):
        save(pairs / "img" / f"{number}.png", np.full((2, 3, 3), number))
        save(pairs / "a" / f"{number}.png", np.full((2, 3), 7))
    with pytest.warns(UnnamedClassWarning, match=r"class_labels|has class labels") as caught:
        import_dataset(pairs, "folders", images="img", masks="a", classes=tmp_path / "names.json", dir=tmp_path / "s")
    told = [str(one.message) for one in caught if issubclass(one.category, UnnamedClassWarning)]
    assert len(told) == len({*told}) == 2  # of the ids 1 and 7
