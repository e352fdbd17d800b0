"""Names and modules that are imported when they are first asked for."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from maskl_storage.lazy import Absent, LazyModule, public_name

pytestmark = pytest.mark.once

PACKAGE = """
from maskl_storage.lazy import public_name

PLACES = {"one": "pack.inner", "other": "pack.inner:one", "inner": "pack.inner"}


def __getattr__(name):
    asked.append(name)
    return public_name(__name__, PLACES, name)


asked = []
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "__init__.py").write_text(PACKAGE)
    (folder / "inner.py").write_text("import time\ntime.sleep(0.05)\none = object()\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("pack", "pack.inner"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_name_is_imported_once_and_kept(package: Path) -> None:
    import pack  # type: ignore[import-not-found]  # made above

    assert "pack.inner" not in sys.modules
    first = pack.one
    assert pack.one is first is pack.other
    assert pack.inner is sys.modules["pack.inner"]
    assert pack.asked == ["one", "other"], "the import of a submodule sets it"


def test_threads_that_ask_at_once_get_the_same(package: Path) -> None:
    import pack  # as above

    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(pack.one)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_what_a_package_has_not_is_an_attribute_error(package: Path) -> None:
    import pack  # as above

    with pytest.raises(AttributeError, match="module 'pack' has no attribute 'two'"):
        public_name("pack", pack.PLACES, "two")


def test_an_import_that_fails_says_why(package: Path) -> None:
    (package / "pack" / "inner.py").write_text("import nothing_of_that_name\n")
    import pack  # as above

    with pytest.raises(ModuleNotFoundError, match="nothing_of_that_name"):
        pack.one  # noqa: B018  # asking is the test


def test_a_deferred_module_is_imported_when_it_is_asked() -> None:
    code = """
import sys
from maskl_storage.lazy import LazyModule
colorsys = LazyModule("colorsys")
assert not hasattr(colorsys, "__wrapped__") and "colorsys" not in sys.modules
import colorsys as real
assert colorsys.rgb_to_hsv is real.rgb_to_hsv
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_deferred_module_that_is_not_installed() -> None:
    with pytest.raises(ModuleNotFoundError, match="nothing_of_that_name"):
        LazyModule("nothing_of_that_name").Frame  # noqa: B018  # as above
    optional = LazyModule("nothing_of_that_name", optional=True)
    assert optional.Frame is Absent
    assert optional.Frame[int] is Absent
