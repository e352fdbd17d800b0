"""Optional packages: one guard, whose message names an extra that there is."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest

from maskl.errors import MissingExtra
from maskl_storage.extras import optional

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]


def test_a_module_that_is_there_is_returned() -> None:
    assert optional("json.decoder", "a test") is sys.modules["json.decoder"]


def test_one_that_is_not_there_names_its_extra_and_what_else_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("yaml", "yaml.nodes"):  # another test may have imported it
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra) as caught:
        optional("yaml.nodes", "c.yaml", instead="pass a dict")
    assert str(caught.value) == "c.yaml needs yaml: pip install 'maskl[yaml]', or pass a dict"
    assert isinstance(caught.value.__cause__, ImportError)
    with pytest.raises(MissingExtra, match=r"^to_x\(\) needs yaml: pip install 'maskl\[yaml\]'$"):
        optional("yaml", "to_x()")


def test_every_optional_package_is_an_extra_and_every_extra_is_guarded() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    asked, raised = set(), set()
    for path in (*(ROOT / "maskl").rglob("*.py"), *(ROOT / "storage").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
            if name == "optional":
                assert isinstance(node, ast.Call)
                named = [ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg == "extra"]
                asked.add(named[0] if named else ast.literal_eval(node.args[0]).partition(".")[0])
            if name == "MissingExtra":
                raised.add(path.name)
    assert asked == set(extras)
    assert raised == {"extras.py"}
