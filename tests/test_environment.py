"""What makes the environments tells uv what pip is told, and no more."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.once

SCRIPT = Path(__file__).parents[1] / ".ci" / "environment.py"
LISTED = """
:env:.find-links='/wheels /more wheels'
:env:.index-url='https://mirror.example/simple'
freeze.timeout='1'
global.cert='/etc/ca.pem'
global.extra-index-url='\\nhttps://a.example/simple\\nhttps://b.example/simple'
global.index-url='https://other.example/simple'
global.timeout='60'
install.timeout='180'
"""
MIRRORED = {
    "UV_DEFAULT_INDEX": "https://mirror.example/simple",
    "UV_INDEX": "https://a.example/simple https://b.example/simple",
    "UV_FIND_LINKS": "/wheels,/more,wheels",
    "UV_INDEX_STRATEGY": "unsafe-best-match",
}
OTHERS = {"UV_HTTP_TIMEOUT": "180", "SSL_CERT_FILE": "/etc/ca.pem", "UV_PYTHON_DOWNLOADS": "never"}


@pytest.fixture(scope="module")
def environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pip_says_what_it_is_told_also_where_this_environment_has_none(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    assert environment.pip_settings()["index-url"] == "https://mirror.example/simple"


def test_uv_asks_the_indexes_that_pip_asks(environment: ModuleType) -> None:
    assert environment.for_uv(environment.parse_settings(LISTED), {}) == MIRRORED | OTHERS


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_INDEX_URL"])
def test_an_index_that_uv_was_told_stays_the_only_one(variable: str, environment: ModuleType) -> None:
    told = environment.for_uv(environment.parse_settings(LISTED), {variable: "https://mine.example/simple"})
    assert told == OTHERS


def test_another_setting_that_uv_was_told_stays(environment: ModuleType) -> None:
    told = environment.for_uv(environment.parse_settings(LISTED), {"UV_HTTP_TIMEOUT": "5"})
    assert "UV_HTTP_TIMEOUT" not in told
    assert told == {name: value for name, value in (MIRRORED | OTHERS).items() if name != "UV_HTTP_TIMEOUT"}


def test_a_pip_that_is_told_nothing_tells_nothing(environment: ModuleType) -> None:
    assert environment.for_uv(environment.parse_settings(""), {}) == {"UV_PYTHON_DOWNLOADS": "never"}
