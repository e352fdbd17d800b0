"""The page as people use it, in a real browser: by pointer, by keyboard, by links, and whatever names a store has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

import maskl
from tests.viewer.browsing import Tab, require_browser

require_browser()
pytestmark = pytest.mark.once

CLASSES = [
    {"id": 0, "name": "road", "color": "#7a5aa6"},
    {"id": 1, "name": "차량"},
    {"id": 2, "name": "رصيف"},
    {"id": 3, "name": "<script>window.broken = 1</script>"},
    {"id": 9, "name": "void", "ignore": True},
]
NAMES = {item["id"]: item["name"] for item in CLASSES}
HOSTILE = '<img src=x onerror="window.broken = 2">javascript:alert(1)\u202e\x07'
ROWS = 12
WORST = 7


def image(rng: np.random.Generator, number: int, wrong: float, caption: str | None = None) -> maskl.Image:
    """Return a frame with its truth, and a prediction of which a share is wrong."""
    truth = np.repeat(rng.choice([0, 1, 2, 3, 9], (12, 16)), 4, axis=1).repeat(4, axis=0)
    guess = np.where(rng.random(truth.shape) < wrong, (truth + 1) % 4, truth)
    masks = {
        "ground_truth": {"mask_data": truth, "class_labels": NAMES, "ignore_index": {9}},
        "predictions": {"mask_data": guess, "class_labels": NAMES},
    }
    box = {"position": {"minX": 0.1, "maxX": 0.5, "minY": 0.2, "maxY": 0.6}, "class_id": 1, "scores": {"p": 0.9}}
    photo = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    boxes = {"predictions": {"box_data": [box], "class_labels": NAMES}}
    return maskl.Image(photo, caption=caption, classes=maskl.Classes(CLASSES), masks=masks, boxes=boxes)


def logged(folder: Path, name: str, steps: int, skill: float) -> None:
    rng = np.random.default_rng(3)
    with maskl.init(dir=folder, project="거리", name=name, settings=maskl.Settings(silent=True)) as run:
        for step in range(steps):
            table = maskl.Table(columns=["name", "image", "loss"])
            for number in range(ROWS):
                wrong = 0.9 if number == WORST else skill
                caption = HOSTILE if number == 1 else f"장면 {number}"
                table.add_data(f"frame-{number}", image(rng, number, wrong, caption), number / ROWS)
            run.log({"val/평가": table}, step=step)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "store"
    quiet = maskl.Settings(silent=True)
    with maskl.init(dir=folder, project="others", name="odd", settings=quiet) as run:
        rng = np.random.default_rng(4)
        bare = maskl.Table(columns=["word", "number"], data=[["a", 1.5], [HOSTILE, None]])
        mutable = maskl.Table(columns=["image"], log_mode="MUTABLE")
        mutable.add_data(image(rng, 0, 0.5))
        photo = np.zeros((8, 8, 3), np.uint8)
        partly = maskl.Table(columns=["image", "second"])
        mask = {"mask_data": np.zeros((8, 8), np.int64), "class_labels": NAMES}
        partly.add_data(maskl.Image(photo, masks={"predictions": mask}), maskl.Image(photo))
        partly.add_data(maskl.Image(photo), None)
        run.log({"bare": bare, "mutable": mutable, "partly": partly})
    logged(folder, "baseline", 3, 0.4)
    logged(folder, "실험 <b>2</b>", 2, 0.1)
    return folder


@pytest.fixture(scope="module")
def loaded(browser: Any, address: str) -> Iterator[Tab]:
    tab = Tab(browser, address, permissions=["clipboard-read", "clipboard-write"])
    tab.open()
    yield tab
    tab.close()


@pytest.fixture
def tab(loaded: Tab) -> Tab:
    """The tab as it is after loading: all that it shows stands in its address."""
    loaded.check()
    loaded.page.keyboard.press("Escape")
    # what waits to be written to the address is written now
    loaded.page.evaluate("dispatchEvent(new Event('pagehide')), document.activeElement.blur()")
    loaded.turn()
    return loaded


def fields(tab: Tab) -> dict[str, list[str]]:
    """Return the view that the page's address has, once it is written."""
    return parse_qs(urlsplit(tab.page.url).fragment, keep_blank_values=True)


def opened(tab: Tab, number: int = 0) -> None:
    card = tab.page.locator(".card[data-row]").nth(number)
    row = card.get_attribute("data-row")
    card.click()
    tab.painted(row)


def test_the_newest_run_is_shown_filled_and_half_opaque(tab: Tab) -> None:
    page = tab.page
    assert page.locator(".runs input").count() == 2
    assert [box.is_checked() for box in page.locator(".runs input").all()] == [True, False]
    assert page.locator(".runs .name").first.inner_text() == "실험 <b>2</b>"
    assert page.get_by_label("Opacity").input_value() == "50"
    assert not page.get_by_label("Contours").is_checked()
    assert page.locator("h1").first.inner_text() == "val/평가"
    # what carries a row's address is one item of the grid for each row, and no panel
    cards = page.locator("[data-row][data-run]")
    assert len({card.get_attribute("data-row") for card in cards.all()}) == cards.count() == ROWS
    assert page.locator("[data-panel]").count() == 0


def test_one_click_opens_a_row(tab: Tab) -> None:
    opened(tab, 2)
    panels = tab.page.locator("[data-panel]")
    assert [panel.get_attribute("data-panel") for panel in panels.all()] == ["image", "truth", "prediction", "errors"]
    assert {
        panel.evaluate("canvas => canvas.tagName + canvas.width + 'x' + canvas.height") for panel in panels.all()
    } == {"CANVAS64x48"}
    tab.page.keyboard.press("Escape")
    assert tab.page.locator(".detail").is_hidden()
    assert tab.page.locator("[data-panel]").count() == 0
    assert tab.page.evaluate("document.activeElement.className") == "grid"


def test_panels_zoom_and_move_as_one(tab: Tab) -> None:
    opened(tab)
    page = tab.page
    transforms = "[...document.querySelectorAll('.stage')].map(stage => stage.style.transform)"
    fit = page.evaluate(transforms)
    assert len(set(fit)) == 1
    page.locator('[data-panel="truth"]').hover(position={"x": 20, "y": 20})
    tab.until("document.querySelector('.strip b')")
    under = page.locator(".strip").inner_text()
    page.mouse.wheel(0, -600)
    tab.until("location.hash.includes('zoom=')")
    near = page.evaluate(transforms)
    assert len(set(near)) == 1
    assert near != fit
    # what is under the pointer stays there
    page.mouse.move(0, 0)
    page.locator(".strip .soft").first.wait_for()
    assert "pixelated" in page.locator('[data-panel="truth"]').get_attribute("class")
    page.get_by_role("button", name="Fit").click()
    tab.until("!location.hash.includes('zoom=')")
    assert page.evaluate(transforms) == fit
    page.locator('[data-panel="truth"]').hover(position={"x": 20, "y": 20})
    tab.until("document.querySelector('.strip b')")
    assert page.locator(".strip").inner_text() == under


def test_the_strip_reads_what_is_stored(tab: Tab, store: Path) -> None:
    opened(tab, 3)
    page = tab.page
    row = int(page.locator("[data-panel=truth]").get_attribute("data-row"))
    page.locator('[data-panel="errors"]').hover(position={"x": 200, "y": 100})
    tab.until("document.querySelector('.strip b')")
    x, y = map(int, page.locator(".strip .part").nth(1).inner_text().strip("()").split(", "))
    run = page.locator("[data-panel=truth]").get_attribute("data-run")
    masks = maskl.open(store).table("val/평가", run).find(run, row)["image"].masks
    names = [NAMES[int(masks[key].mask_data[y, x])] for key in ("ground_truth", "predictions")]
    assert page.locator(".strip b").all_inner_texts() == names


def test_boxes_are_drawn_and_go_with_their_class_or_their_key(tab: Tab) -> None:
    opened(tab)
    page = tab.page
    drawn = page.locator(".boxes rect[stroke]")
    assert drawn.count() == 2  # in the image's panel and the prediction's
    place = [float(drawn.first.get_attribute(name)) for name in ("x", "y", "width", "height")]
    assert place == pytest.approx([6.4, 9.6, 25.6, 19.2])
    page.keyboard.press("b")
    tab.until("!document.querySelector('.boxes rect')")
    page.get_by_role("checkbox", name="predictions").check()
    tab.until("document.querySelector('.boxes rect')")
    page.locator('[data-class="차량"] input').uncheck()
    tab.until("!document.querySelector('.boxes rect')")


def test_single_keys_can_be_turned_off(tab: Tab) -> None:
    page = tab.page
    page.keyboard.press("c")
    assert "contours" in fields(tab)
    page.keyboard.press("?")
    page.get_by_label("Single keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.keyboard.press("4")
    assert "contours" in fields(tab)
    assert "layer" not in fields(tab)
    page.get_by_role("button", name="Keys").click()
    assert page.locator("dialog[open]").is_visible()


def test_dark_and_light_are_chosen_and_stay(tab: Tab) -> None:
    page = tab.page
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="Dark or light").click()
    dark = page.evaluate(paper)
    assert dark != light
    tab.until("location.hash.includes('theme=dark')")
    page.reload()
    tab.browsed()
    assert page.evaluate(paper) == dark


def test_every_class_has_a_row_with_its_numbers(tab: Tab) -> None:
    page = tab.page
    tab.until("document.querySelector('[data-class=road] .number').textContent.includes('%')")
    rows = {row.get_attribute("data-class"): row for row in page.locator("[data-class]").all()}
    assert set(rows) == set(NAMES.values())
    assert rows["void"].locator("s").count() == 1
    assert [rows[name].locator("input[type=checkbox]").count() for name in rows] == [1] * len(rows)
    numbers = rows["road"].locator(".number").all_inner_texts()
    assert 0 < float(numbers[0].rstrip("%")) < 100
    assert 0 < float(numbers[1]) < 1
    assert rows["void"].locator(".number").all_inner_texts()[1] == "–"


def test_a_class_goes_off_and_alone_and_back(tab: Tab) -> None:
    opened(tab)
    row = tab.page.locator('[data-class="road"]')
    whole = tab.pixels("truth")
    row.locator("input").uncheck()
    tab.painted(tab.page.locator("[data-panel=truth]").get_attribute("data-row"))
    without = tab.pixels("truth")
    assert 0 < (whole != without).any(-1).mean() < 1
    assert fields(tab)["off"] == ["road"]
    row.locator("input").check()
    row.locator("label").click(modifiers=["Alt"])
    assert fields(tab)["only"] == ["road"]
    tab.painted(tab.page.locator("[data-panel=truth]").get_attribute("data-row"))
    alone = tab.pixels("truth")
    assert np.array_equal((alone != whole).any(-1) & (without != whole).any(-1), np.zeros(whole.shape[:2], bool))
    row.locator("label").click(modifiers=["Alt"])
    assert "only" not in fields(tab)


def test_back_and_forward_undo_and_do(tab: Tab) -> None:
    page = tab.page
    opened(tab, 1)
    page.locator('[data-class="차량"] input').uncheck()
    page.get_by_role("checkbox", name="Errors").uncheck()
    assert page.locator("[data-panel]").count() == 3
    page.go_back()
    page.wait_for_selector("[data-panel=errors][data-painted]")
    page.go_back()
    tab.until("document.querySelector('[data-class=\"차량\"] input').checked")
    page.go_back()
    page.wait_for_selector(".detail", state="hidden")
    page.go_forward()
    page.go_forward()
    page.wait_for_selector("[data-panel=truth][data-painted]")
    tab.until("!document.querySelector('[data-class=\"차량\"] input').checked")


def test_a_copied_link_gives_the_same_picture_in_another_browser(tab: Tab, browser: Any) -> None:
    page = tab.page
    page.locator(".runs input").nth(1).check()
    tab.until(f"document.querySelector('.grid [aria-setsize=\"{2 * ROWS}\"]')")
    opened(tab, 3)
    page.locator('[data-class="رصيف"] input').uncheck()
    page.get_by_label("Contours").check()
    page.keyboard.press("+")
    page.keyboard.press("o")
    tab.until("location.hash.includes('opacity=60') && location.hash.includes('zoom=')")
    row = page.locator("[data-panel=truth]").get_attribute("data-row")
    tab.painted(row)
    copied = Tab(browser, page.url)  # another profile: what a tab keeps is not shared
    copied.page.goto(page.url)
    copied.painted(row)
    runs = {panel.get_attribute("data-run") for panel in page.locator("[data-panel=prediction]").all()}
    assert len(runs) == 2
    for run in runs:
        for panel in ("prediction", "errors"):
            assert np.array_equal(copied.pixels(panel, run), tab.pixels(panel, run))
    transform = "document.querySelector('[data-panel=truth]').parentElement.style.transform"
    assert copied.page.evaluate(transform) == page.evaluate(transform)
    copied.close()


def test_the_worst_image_and_what_is_wrong_in_it_by_keyboard_alone(tab: Tab) -> None:
    page = tab.page
    page.keyboard.press("s")
    page.keyboard.type("FROM row_iou('val/평가', step := 'last') ORDER BY mean_iou")
    page.keyboard.press("Control+Enter")
    tab.until(f"document.querySelector('.card .name')?.textContent === '장면 {WORST}'")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-panel=errors][data-painted]")
    assert page.locator(".detail h1").inner_text() == f"장면 {WORST}"
    for _ in range(30):
        if page.evaluate("document.activeElement.classList.contains('panels')"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    tab.until("document.querySelector('.strip b')")
    name = page.locator(".strip b").first.inner_text()
    page.keyboard.press("i")
    assert fields(tab)["only"] == [name]
    page.keyboard.press("j")
    tab.until(f"document.querySelector('.detail h1').textContent !== '장면 {WORST}'")
    page.keyboard.press("k")
    tab.until(f"document.querySelector('.detail h1').textContent === '장면 {WORST}'")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").inner_text().count("\n") > 30


QUESTIONS = [
    "FROM class_pixels WHERE table_name = 'val/평가' AND mask_key = 'ground_truth' AND class_name = '{name}' "
    "AND pixels = 0",
    "FROM row_iou('val/평가', step := 'last') ORDER BY mean_iou LIMIT 5",
    "FROM compare_rows('val/평가', 'baseline', '실험 <b>2</b>', class := '{name}') WHERE change > 0 ORDER BY change",
    "FROM class_pixels WHERE table_name = 'val/평가' AND mask_key = 'predictions' AND class_name = '{name}' "
    "AND coverage > 0.05",
]


@pytest.mark.parametrize("question", QUESTIONS, ids=["without a class", "worst", "changed", "much of a class"])
def test_questions_about_images_are_asked_by_keyboard_alone(tab: Tab, store: Path, question: str) -> None:
    page, sql = tab.page, question.format(name=NAMES[1])
    newest = maskl.open(store, runs=["실험 <b>2</b>"]).runs()[0].run_id  # the run that is checked
    found = maskl.open(store).sql(f"SELECT run_id, table_name, _row FROM ({sql})").fetchall()
    rows = [row for row in found if row[0] == newest]
    page.keyboard.press("s")
    page.keyboard.press("Control+a")
    page.keyboard.type(sql)
    page.keyboard.press("Control+Enter")
    tab.until(f"/^{len(set(rows))} /.test(document.querySelector('.browse .bar [role=status]').textContent)")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    if rows:
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-panel=truth][data-painted]")
        canvas = page.locator("[data-panel=truth]").first
        assert canvas.get_attribute("data-row") == str(rows[0][2])


def test_rows_are_sorted_brushed_and_counted_on_the_server(tab: Tab) -> None:
    page = tab.page
    page.get_by_label("Sort", exact=True).select_option("mean_iou")
    tab.browsed()
    scores = [float(text) for text in page.locator(".card b").all_inner_texts()]
    assert scores == sorted(scores)
    assert page.locator(".card .name").first.inner_text() == f"장면 {WORST}"
    page.get_by_role("slider", name="lowest").focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    tab.until(f"/^\\d+ of {ROWS} rows/.test(document.querySelector('.browse .bar [role=status]').textContent)")
    kept = int(page.locator(".browse .bar [role=status]").inner_text().split()[0])
    low = float(fields(tab)["range"][0].split("~")[0])
    assert kept == sum(score >= low for score in scores) < ROWS


def test_rows_are_selected_and_copied(tab: Tab, store: Path) -> None:
    page = tab.page
    cards = page.locator(".card[data-row]")
    cards.nth(1).click(modifiers=["Shift"])
    cards.nth(4).click(modifiers=["Shift"])
    wanted = [
        (cards.nth(at).get_attribute("data-run"), int(cards.nth(at).get_attribute("data-row"))) for at in range(1, 5)
    ]
    tab.until("document.querySelectorAll('.card[aria-selected=true]').length === 4")
    page.get_by_role("button", name="SQL", exact=True).click()
    sql = page.evaluate("navigator.clipboard.readText()")
    found = maskl.open(store).sql(sql).fetchall()
    assert sorted((run, row) for run, _, row in found) == sorted(wanted)
    page.get_by_role("button", name="Python", exact=True).click()
    rows = eval(page.evaluate("navigator.clipboard.readText()").split("=", 1)[1], {"store": maskl.open(store)})
    assert len(rows) == 4
    page.get_by_role("button", name="JSON", exact=True).click()
    items = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert sorted((item["run_id"], int(item["_row"])) for item in items) == sorted(wanted)
    assert {type(item["_row"]) for item in items} == {str}


def test_a_row_gives_itself_as_sql(tab: Tab, store: Path) -> None:
    opened(tab, 5)
    page = tab.page
    row, run = (page.locator("[data-panel=truth]").get_attribute(f"data-{name}") for name in ("row", "run"))
    page.get_by_role("button", name="Copy SQL").click()
    relation = maskl.open(store).sql(page.evaluate("navigator.clipboard.readText()"))
    found = dict(zip(relation.columns, relation.fetchall()[0], strict=True))
    assert (found["run_id"], str(found["_row"])) == (run, row)


def test_every_query_to_begin_with_can_be_asked(tab: Tab) -> None:
    page = tab.page
    presets = page.get_by_label("A query to begin with")
    titles = [option.inner_text() for option in presets.locator("option").all()][1:]
    assert len(titles) == 5
    for title in titles:
        presets.select_option(title)
        page.get_by_role("button", name="Run", exact=True).click()
        tab.browsed()
        assert page.locator("#sql ~ [role=alert]").is_hidden(), title
        assert page.locator(".notes").inner_text() == ""
    assert page.locator(".card").count() == ROWS


def test_a_query_that_fails_says_why_and_the_page_goes_on(tab: Tab) -> None:
    page = tab.page
    page.locator("#sql").fill("FROM nowhere")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("[role=alert]:not([hidden])")
    assert "nowhere" in page.locator("#sql ~ [role=alert]").inner_text()
    page.get_by_role("button", name="Clear", exact=True).first.click()
    page.wait_for_selector(".card[data-row] canvas[data-done]")
    # the browser itself tells of an answer of 4xx
    tab.problems = [text for text in tab.problems if "status of 4" not in text]


def test_a_run_without_the_step_shows_the_one_before_and_says_so(tab: Tab) -> None:
    page = tab.page
    for box in page.locator(".runs input").all():
        box.check()
    tab.until("!document.querySelector('.rail .slider').hidden")
    tab.turn(run=[box.input_value() for box in page.locator(".runs input").all()], step=2)
    tab.until("document.querySelector('.notes').textContent.includes('step 1')")


def test_tables_of_other_kinds_are_shown_as_what_they_are(tab: Tab) -> None:
    tab.turn(project="others", table="bare")
    assert tab.page.locator(".card .value").all_inner_texts() == [
        "word\na",
        "number\n1.5",
        f"word\n{HOSTILE}",
        "number\n–",
    ]
    assert tab.page.locator(".picture").first.is_hidden()
    opened(tab)
    tab.page.keyboard.press("Escape")
    tab.turn(project="others", table="mutable")
    assert tab.page.locator(".card").count() == 1
    assert "mutable" in tab.page.locator(".browse .bar").inner_text()
    tab.turn(project="others", table="partly", truth="")
    assert tab.page.locator(".card .badge").all_inner_texts() == ["", "no prediction"]
    assert tab.page.get_by_role("radio", name="Errors").is_disabled()
    opened(tab)
    notes = [panel.locator(".note").inner_text() for panel in tab.page.locator(".panel").all()]
    assert notes[0] == notes[2] == ""
    assert notes[1].startswith("No truth")
    tab.page.keyboard.press("Escape")
    tab.page.get_by_label("Image column").select_option("second")
    tab.page.wait_for_selector(".card[data-row] canvas[data-done]")


def test_a_row_that_is_not_there_is_said_to_be_missing(tab: Tab) -> None:
    tab.page.evaluate("location.hash = new URLSearchParams({open: JSON.stringify(['nobody', 'val/평가', '1'])})")
    tab.page.wait_for_selector(".detail .problem:not([hidden])")
    tab.problems = [text for text in tab.problems if "status of 4" not in text]


def test_axe_finds_nothing(browser: Any, address: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # the page's content security policy admits no script of a tool's
    tab = Tab(browser, address, bypass_csp=True)
    levels = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    contrast = {"type": "rule", "values": ["color-contrast"]}

    def check(what: str) -> None:
        for scheme, only in [("light", levels), ("dark", contrast)]:
            tab.page.emulate_media(color_scheme=scheme)
            options = {"runOnly": only, "resultTypes": ["violations"]}
            found = Axe().run(tab.page, options=options).response["violations"]
            told = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]
            assert told == [], (what, scheme)

    tab.open(sort="mean_iou", column=["loss"], layer="errors", off=["road"])
    check("grid")
    opened(tab)
    tab.page.mouse.move(600, 300)
    check("row")
    tab.page.keyboard.press("?")
    check("keys")
    tab.page.keyboard.press("Escape")
    tab.turn(project="others", table="bare")
    check("text")
    tab.page.get_by_role("button", name="Columns").click()
    check("columns")
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("s")
    tab.page.keyboard.type("FROM nowhere")
    tab.page.keyboard.press("Control+Enter")
    tab.page.wait_for_selector("#sql ~ [role=alert]:not([hidden])")
    check("a query that fails")
    tab.page.route("**/api/set/*", lambda route: route.abort())
    tab.page.evaluate("location.hash = 'project=others&table=partly'")
    tab.page.wait_for_selector(".trouble:not([hidden])")
    check("rows that do not come")
    tab.page.unroute("**/api/set/*")
    tab.page.evaluate("location.hash = new URLSearchParams({open: JSON.stringify(['nobody', 'val/평가', '1'])})")
    tab.page.wait_for_selector(".detail .problem:not([hidden])")
    check("a row that is not there")
    tab.problems = [text for text in tab.problems if "Failed to load resource" not in text]
    tab.close()


def test_every_key_does_what_is_listed(tab: Tab) -> None:
    page = tab.page

    def press(key: str, *, has: str | None = None, lacks: str | None = None) -> None:
        page.keyboard.press(key)
        page.evaluate("dispatchEvent(new Event('pagehide'))")
        assert has is None or has in page.evaluate("decodeURIComponent(location.hash)"), key
        assert lacks is None or lacks not in page.evaluate("decodeURIComponent(location.hash)"), key

    press("1", has="layer=image")
    press("2", has="layer=truth")
    press("4", has="layer=errors")
    press("3", lacks="layer=")
    press(",", has="step=1")
    press(",", has="step=0")
    press(".", has="step=1")
    press(".", lacks="step=")
    press("]", has="run=baseline")
    press("[", has="run=실험")
    press("e", has="rail=0")
    press("e", lacks="rail=")
    tab.browsed()
    opened(tab, 2)
    press("1", has="hide=image")
    press("1", lacks="hide=")
    press("o", has="opacity=60")
    press("u", lacks="opacity=")
    press("c", has="contours=1")
    press("b", has="nobox=predictions")
    press("+", has="zoom=1.5~")
    press("-", lacks="zoom=")
    press("x", has="zoom=")
    press("0", lacks="zoom=")
    press("r", lacks="contours=")
    assert "nobox" not in page.url
    press("f")
    tab.until("document.fullscreenElement?.classList.contains('detail')")
    press("f")
    tab.until("!document.fullscreenElement")
    # what is written is written, and no key
    page.locator("#sql").focus()
    page.keyboard.type("1co")
    assert page.locator("#sql").input_value() == "1co"
    assert "contours" not in fields(tab)
    page.locator("#sql").fill("")


def test_the_bars_of_a_row_isolate_a_class(tab: Tab) -> None:
    opened(tab, 2)
    page = tab.page
    names = page.locator(".ious .name").all_inner_texts()
    assert "void" not in names
    ious = [float(text) for text in page.locator(".ious .number").all_inner_texts() if text != "–"]
    assert ious == sorted(ious)
    page.locator(".ious button").first.click()
    assert fields(tab)["only"] == [names[0]]
    assert page.locator(".ious .off").count() == len(names) - 1
    page.locator(".ious button").first.click()
    assert "only" not in fields(tab)


def test_the_strip_has_every_run_apart_from_each_other(browser: Any, address: str) -> None:
    tab = Tab(browser, address, viewport={"width": 1024, "height": 700})
    tab.open()
    for box in tab.page.locator(".runs input").all():
        box.check()
    tab.browsed()
    opened(tab, 3)
    tab.page.locator("[data-panel=truth]").hover()
    tab.until("document.querySelectorAll('.strip b').length === 3")
    boxes = [part.bounding_box() for part in tab.page.locator(".strip .part").all()]
    for at, one in enumerate(boxes):
        assert one["x"] + one["width"] <= 1024
        for other in boxes[at + 1 :]:
            apart = one["x"] + one["width"] <= other["x"] or one["y"] + one["height"] <= other["y"]
            assert apart, (one, other)
    tab.close()


def test_nothing_moves_where_motion_is_to_be_less(browser: Any, address: str) -> None:
    tab = Tab(browser, address, reduced_motion="reduce")
    tab.open()
    moving = (
        "() => [...document.querySelectorAll('*')].filter(element => { const style = getComputedStyle(element);"
        " return style.transitionDuration !== '0s' || style.animationName !== 'none' }).length"
    )
    assert tab.page.evaluate(moving) == 0
    tab.close()


@pytest.mark.parametrize("width", [1024, 1600])
def test_nothing_sticks_out(browser: Any, address: str, width: int) -> None:
    tab = Tab(browser, address, viewport={"width": width, "height": 700})
    tab.open(sort="mean_iou")
    sticking = (
        "() => [...document.querySelectorAll('.page *, .status *')].filter(element => {"
        " const box = element.getBoundingClientRect();"
        " return box.width && box.right > innerWidth + 1 && !element.closest('.viewport, .unseen') })"
        ".map(element => element.outerHTML.slice(0, 120))"
    )
    assert tab.page.evaluate(sticking) == []
    opened(tab)
    assert tab.page.evaluate(sticking) == []
    tab.close()
