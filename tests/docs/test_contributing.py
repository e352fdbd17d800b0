"""The recipes of CONTRIBUTING.md are those that the tests of the recipes run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "tests" / "recipes"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)


def recipes() -> dict[str, str]:
    """Return what is run as a new file: a file beside the tests, or the text ``FILE`` in one of them."""
    found = {path.name: path.read_text("utf-8") for path in RECIPES.glob("toy_*.py")}
    for path in RECIPES.glob("test_*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FILE":
                found[path.name] = str(ast.literal_eval(node.value))
    return found


def test_the_page_has_a_recipe_for_a_format_a_metric_and_a_codec() -> None:
    assert len(BLOCKS) == 3


@pytest.mark.parametrize("name", recipes())
def test_what_is_run_stands_on_the_page(name: str) -> None:
    assert recipes()[name].strip() in [block.strip() for block in BLOCKS]
