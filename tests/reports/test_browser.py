"""The page of a study in a real browser: what its points say, by pointer, finger and keyboard."""

import contextlib
import shutil

import page_programs
import pytest

from sah_jax.complexity import derived, frontier, reported
from sah_jax.reports import html, tables

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

# On a machine that is busy it takes a minute to start.
PATIENCE_MS = 300_000
WIDE, PHONE = (1280, 900), (360, 740)
HOSTILE = page_programs.HOSTILE
SAMPLES = [{"prompt": HOSTILE, "answer": "7", "response": "long " * 200}] * 3
PROGRAMS = [
    page_programs.program("short", 100, 0.25, script_bits=0, experiment_name="baseline"),
    page_programs.program("long", 90, 0.25, script_bits=4000, samples=SAMPLES,
                          strategy_hparams={"examples": 3, HOSTILE: HOSTILE}),
    page_programs.program("best", 1234, 0.625, experiment_name="lora", selection_performance=0.75),
    page_programs.program("unverified", 10, 0.5, verified=False, experiment_name="online"),
    page_programs.program("elsewhere", 10, 0.125, model_name=HOSTILE)]
THEIRS = [page_programs.reported_row(7, 30004, 0.8, experiment_name="full")]


def _text(programs, theirs):
    rows = [*(program.row for program in programs), *theirs]
    return html.render("t", programs, tables.complexity_table(rows), reported_rows=theirs)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # The tests may be run as root, for whom chromium has no sandbox.
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE_MS)
        yield launched
        launched.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Returns a context that opens a page, and checks that it said nothing wrong and asked for nothing."""

    @contextlib.contextmanager
    def open_page(text, size=WIDE):
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, has_touch=size == PHONE, is_mobile=size == PHONE)
        page, wrong, requests = context.new_page(), [], []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector(".mark")
        yield page
        assert not wrong and requests == [path.as_uri()]
        assert page.title() == "t: task complexity" and not page.locator("img").count()
        context.close()

    return open_page


def _mark(page, start, model="nano"):
    """Returns the point of a panel whose label begins so."""
    panel = page.locator(".panel", has=page.locator("figcaption", has_text=model)).first
    return panel.locator(f'.mark[aria-label^="{start}"]').first


def _middle(page, mark):
    """Returns where on the screen a point is."""
    mark.scroll_into_view_if_needed()
    box = mark.locator("path").last.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def _terms(page):
    return dict(zip(page.locator("#card dt").all_inner_texts(), page.locator("#card dd").all_inner_texts(),
                    strict=True))


def test_a_pointer_over_a_point_opens_its_card(opened):
    with opened(_text(PROGRAMS, THEIRS)) as page:
        card = page.locator("#card")
        assert not card.is_visible()
        page.mouse.move(*_middle(page, _mark(page, "LoRA")))
        assert card.is_visible() and "LoRA" in card.locator("h3").inner_text()
        terms, row = _terms(page), PROGRAMS[2].row
        assert terms["Test score"] == "0.625 ± 0.010" and terms["95% interval"] == "0.605 to 0.645"
        assert terms["Selection"] == "0.750 ± 0.010, selection split"
        assert terms["Length"] == "9,872 bits (1,234 bytes)"
        assert terms["With script"] == "10,272 bits, 400 of them the script"
        assert (terms["Point"], terms["File"]) == (row.point, row.program)
        assert terms["sha256"] == row.program_sha256
        assert "verified, on the frontier" in card.inner_text()
        # The ledger, the largest field first.
        assert card.locator(".part").all_inner_texts() == ["tokens: 9,864 bits", "header: 8 bits"]
        assert "They are 7." in card.inner_text()
        # It goes with the pointer, unless it was clicked.
        page.mouse.move(2, 2)
        card.wait_for(state="hidden")
        page.mouse.click(*_middle(page, _mark(page, "LoRA")))
        page.mouse.move(2, 2)
        page.wait_for_timeout(600)
        assert card.is_visible()
        card.locator(".go").click()
        card.wait_for(state="hidden")
        assert page.locator("#program-3").evaluate("entry => entry.open")


def test_hostile_texts_are_shown_and_cut(opened):
    with opened(_text(PROGRAMS, THEIRS)) as page:
        page.mouse.move(*_middle(page, _mark(page, "ICL")))
        samples = page.locator("#card .sample")
        assert samples.count() == 2
        words = samples.first.inner_text()
        assert "<img src=x onerror=" in words and "‹U+001B›" in words and "…" in words
        assert len(words) < 500 and "examples 3" in _terms(page)["Settings"]
        # In full in its entry.
        assert SAMPLES[0]["response"].strip() in page.locator("#program-2 .sample").first.text_content()


def test_a_card_says_of_zeros_that_they_are_the_base_model(opened):
    programs = [page_programs.program("zeros", 100, 0.5, unchanged=True), PROGRAMS[2]]
    with opened(_text(programs, [])) as page:
        for start, said in (("ICL", ", all zero: the base model"), ("LoRA", "")):
            page.mouse.click(*_middle(page, _mark(page, start)))
            assert page.locator("#card p").nth(1).inner_text() == f"verified, on the frontier{said}"


def test_a_reported_row_says_where_it_is_from(opened):
    with opened(_text(PROGRAMS, THEIRS)) as page:
        page.mouse.click(*_middle(page, _mark(page, "Full fine-tuning")))
        terms, said = _terms(page), page.locator("#card").inner_text()
        assert terms["Reported"] == "theirs.jsonl:7, no file" and terms["Test score"] == "0.800"
        assert "95% interval" not in terms
        assert terms["Length"] == "30,004 bits (3.75 kB)" and "reported, no file, on the frontier" in said
        assert "sha256" not in terms and not page.locator("#card .bar, #card .sample").count()
        page.locator("#card .go").click()
        assert page.locator("tr:target").get_attribute("id") == "row-6"


def _stairs(page, model="nano"):
    panel = page.locator(".panel", has=page.locator("figcaption", has_text=model)).first
    return panel.locator(".stair").evaluate_all("paths => paths.map((path) => path.getAttribute('stroke'))")


def test_switches_change_the_frontier_and_the_legend_hides_points(opened):
    with opened(_text(PROGRAMS, THEIRS)) as page:
        control, parametric = "#D81B60", "#FFC107"
        assert _stairs(page) == [control, parametric, parametric]
        page.mouse.click(*_middle(page, _mark(page, "ICL")))
        assert "not on the frontier" in page.locator("#card").inner_text()
        page.uncheck("#script")
        assert not page.locator("#card").is_visible()
        page.mouse.click(*_middle(page, _mark(page, "ICL")))
        assert "verified, on the frontier" in page.locator("#card").inner_text()
        page.keyboard.press("Escape")
        assert page.locator("#card").is_hidden()
        page.uncheck("#every")
        assert _stairs(page) == [control, parametric] and not _mark(page, "Full").count()
        before = page.locator(".mark").count()
        page.locator('[data-family]', has_text="LoRA").click()
        assert page.locator(".mark").count() == before - 1 and not _mark(page, "LoRA").count()
        page.locator('[data-status="not verified"]').click()
        assert page.locator(".mark").count() == before - 2 and _stairs(page) == [control, parametric]


def test_a_staircase_ends_at_what_selection_chose_though_it_scores_lower(opened):
    programs = [page_programs.program("lucky", 10, 0.75, selection_performance=0.25),
                page_programs.program("chosen", 900, 0.5, experiment_name="lora")]
    with opened(_text(programs, [])) as page:
        drops = page.locator(".stair").evaluate_all("paths => paths.map((path) => path.getBBox().height)")
        assert page.locator(".last").text_content() == "0.500"
        lucky, chosen = (_middle(page, _mark(page, label))[1] for label in ("ICL", "LoRA"))
        # The second step goes down from the first's height to its own.
        assert drops == [0, pytest.approx(chosen - lucky, abs=0.6)] and chosen > lucky + 20


def _band(page, model="nano"):
    """Returns of each part of a panel's band its colour, left and right end, top and bottom, in pixels."""
    panel = page.locator(".panel", has=page.locator("figcaption", has_text=model)).first
    parts = panel.locator(".band").evaluate_all(
        "paths => paths.map((path) => [path.getAttribute('fill'), path.getBoundingClientRect().toJSON()])")
    return [(color, *(box[side] for side in ("left", "right", "top", "bottom"))) for color, box in parts]


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_band_is_around_the_staircase_where_it_is_ours(opened, size):
    with opened(_text(PROGRAMS, THEIRS), size) as page:
        short, best, theirs = (_mark(page, label) for label in ("Baseline", "LoRA", "Full"))
        page.locator(".panel svg").first.scroll_into_view_if_needed()
        # A part for each step of ours, none after the reported point.
        parts = _band(page)
        assert [color for color, *_ in parts] == _stairs(page)[:2]
        for (_, left, right, top, bottom), mark, after in zip(
                parts, (short, best), (best, theirs), strict=True):
            x, y = _middle(page, mark)
            assert (left, right) == pytest.approx((x, _middle(page, after)[0]), abs=0.6)
            # The standard errors are alike, and so is the height on both sides.
            assert y == pytest.approx((top + bottom) / 2, abs=0.6)
        error = best.locator("path").first.evaluate("path => path.getBBox().height")
        for _, _, _, top, bottom in parts:
            assert bottom - top == pytest.approx(1.96 * error, abs=0.6)
        keys = page.locator(".keys li").all_inner_texts()
        assert keys[-1] == "95% interval (not of reported)"
        page.uncheck("#every")
        right = _band(page)[-1][2]
        box = page.locator(".panel svg").first.bounding_box()
        assert right == pytest.approx(box["x"] + box["width"] - 10, abs=0.6)


def test_a_wide_band_is_within_its_panel(opened):
    with opened(_text([page_programs.program("p", 100, 50.0, performance_stderr=20.0)], [])) as page:
        (_, _, _, top, bottom), box = _band(page)[0], page.locator(".panel svg").bounding_box()
        assert box["y"] + 8 < top < bottom < box["y"] + box["height"] - 38


@pytest.mark.parametrize("sizes", [(0, 2), (1,), (500, 502), (400, 2700), (5, 10**9)], ids=str)
def test_every_point_is_within_its_panel(opened, sizes):
    programs = [
        page_programs.program(str(size), size, 0.5 if size else -0.25, script_bits=0) for size in sizes]
    with opened(_text(programs, [])) as page:
        for mark in page.locator(".mark").all():
            at, extent = _middle(page, mark), mark.bounding_box()
            box = page.locator(".panel svg").bounding_box()
            assert box["x"] + 46 < at[0] < box["x"] + box["width"]
            assert box["y"] <= extent["y"] and extent["y"] + extent["height"] < box["y"] + box["height"] - 38
        labels = page.locator(".panel text").all_text_contents()
        assert ("0" in labels) == (0 in sizes)
        # Two of them, for a reader to see that the axis is logarithmic.
        assert sum(label.startswith("10") for label in labels) >= (2 if min(sizes) else 1)
        assert page.locator(".mark").count() == len(sizes)


def test_the_keyboard_goes_through_a_panels_points(opened):
    with opened(_text(PROGRAMS, THEIRS)) as page:
        page.locator("#others").focus()
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.classList.contains('mark')"):
                break
        seen = [page.locator("#card h3").inner_text()]
        for _ in range(3):
            page.keyboard.press("ArrowRight")
            seen.append(page.locator("#card h3").inner_text())
        # By length, from the shortest of the frontier on.
        assert seen == ["Baseline", "ICL", "LoRA", "Full fine-tuning"]
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.className") == "go"
        page.keyboard.press("Escape")
        assert page.locator("#card").is_hidden()
        label = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert label == "LoRA, 10,272 bits, score 0.625 ± 0.010, verified"


def test_on_a_phone_the_card_is_at_the_foot_of_the_screen(opened):
    with opened(_text(PROGRAMS, THEIRS), PHONE) as page:
        assert page.locator(".panel").count() == 1
        page.touchscreen.tap(*_middle(page, _mark(page, "LoRA")))
        box = page.locator("#card").bounding_box()
        assert (box["x"], box["width"], box["y"] + box["height"]) == (0, PHONE[0], PHONE[1])
        # What was tapped is in sight above it.
        assert _mark(page, "LoRA").bounding_box()["y"] < box["y"] < PHONE[1]
        assert _terms(page)["Length"] == "9,872 bits (1,234 bytes)"
        assert page.locator("#card .go").bounding_box()["height"] >= 44
        for chip in page.locator(".chip").all():
            assert chip.bounding_box()["height"] >= 44
        page.locator("#card .close").tap()
        assert page.locator("#card").is_hidden()
        page.select_option("#model", "1")
        assert HOSTILE[:20] in page.locator("figcaption").inner_text()
        page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]


def test_the_legend_has_the_views_that_are_drawn(opened):
    with opened(_text(PROGRAMS, THEIRS)) as page:
        views = lambda: [key.inner_text() for key in page.locator("[data-view]").all() if key.is_visible()]
        assert views() == ["Inference-Control", "Parametric"]
        # Of the other model there is a prompt alone.
        page.select_option("#model", "1")
        assert views() == ["Inference-Control"]
        page.select_option("#model", "-1")
        assert views() == ["Inference-Control", "Parametric"]


def test_on_a_phone_the_scores_of_a_wide_table_stay_in_sight(opened):
    programs = [page_programs.program(f"p{number}", 100, 0.5, model_name=f"model number {number}")
                for number in range(8)]
    with opened(_text(programs, []), PHONE) as page:
        for table in page.locator("table.held").all():
            box, first = table.locator("xpath=.."), table.locator("tbody tr > *").first
            before = first.bounding_box()["x"]
            box.evaluate("box => { box.scrollLeft = 300; }")
            scrolled = box.evaluate("box => box.scrollLeft")
            assert scrolled > 100 and first.bounding_box()["x"] == pytest.approx(before, abs=1)
        assert page.locator("table.held").count() == 2


@pytest.fixture(scope="module")
def released(shared_data):
    path = shared_data.parent / "reference" / "final-results-clean.jsonl"
    if not path.is_file():
        pytest.skip("the reference's released results are not here")
    return reported.read_rows(path)


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_references_rows_are_drawn(opened, released, size):
    with opened(_text([], released), size) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        # Nothing suggests errors that are not known.
        assert not page.locator(".band").count() and "interval" not in page.locator("body").inner_text()
        page.select_option("#task", label="gsm8k")
        page.select_option("#model", label="smollm3-stage1")
        cell = ("smollm3-stage1", "gsm8k")
        own = [row for row in released if (row.model_name, row.dataset_name) == cell]
        assert page.locator(".mark").count() == len(own) > 90
        page.uncheck("#every")
        front = frontier.pareto(derived.main_methods(own))
        assert page.locator(".stair").count() == len(front)
        label = f"LoRA, {frontier.total_bits(front[-1]):,} bits, score {front[-1].performance:.3f}"
        at = _middle(page, _mark(page, label, cell[0]))
        page.touchscreen.tap(*at) if size == PHONE else page.mouse.move(*at)
        terms = _terms(page)
        # The paper's own end of this curve (reference-facts 7.2).
        assert terms["With script"] == "30,231,312 bits, 2,832 of them the script"
        assert (terms["Length"], terms["Test score"]) == ("30,228,480 bits (3.78 MB)", "0.530")
        assert terms["Reported"] == f"{front[-1].point}, no file"
