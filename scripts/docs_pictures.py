#!/usr/bin/env python3
"""Makes the pictures of docs/paper from the reference's released rows, and those of the page from a study.

    scripts/docs_pictures.py --released=../shared/reference/final-results-clean.jsonl --demo=out/demo

Either may be left out. The page is photographed by a chromium that playwright (the extra `test`) finds.
"""

import argparse
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sah_jax.reports import evidence, figures, report  # noqa: E402

DOCS = ROOT / "docs"
PAPER = tuple(name for name in figures.NAMES if name not in ("frontier", "width_map"))
"""The figures of docs/paper: all but a study's own, and the map of widths, which needs program files."""

PAGE = {
    "report_wide": dict(viewport={"width": 1280, "height": 900}),
    "report_phone": dict(viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True,
                         is_mobile=True)}
"""The pictures of the page, by name, and the screens that they are of."""

_DPI = 110
_MODEL, _FAMILY = "nano", "Subset training"


def main() -> None:
    """Makes the pictures of what is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--released", type=pathlib.Path, help="the rows that the reference releases")
    parser.add_argument("--demo", type=pathlib.Path, help="the folder of a study of configs/demo.py")
    given = parser.parse_args()
    if not (given.released or given.demo):
        parser.error("got neither --released nor --demo, expected one of them or both")
    if given.released:
        draw_paper(given.released, DOCS / "paper")
    if given.demo:
        photograph(given.demo, DOCS)


def draw_paper(released: pathlib.Path, folder: pathlib.Path) -> None:
    """Draws the paper's figures of released rows."""
    rows = evidence.read([released]).rows
    for name in PAPER:
        figures.save(figures.draw(name, rows), folder / name, ("png",), dpi=_DPI)


def photograph(study: pathlib.Path, folder: pathlib.Path) -> None:
    """Writes a study's page to a folder that goes away, opens a point's card there and takes pictures."""
    from playwright import sync_api

    with tempfile.TemporaryDirectory() as out, sync_api.sync_playwright() as playwright:
        page_file = report.write_report(study, out, names=figures.NAMES, add_script_bits=False).html
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, screen in PAGE.items():
            page = browser.new_context(**screen).new_page()
            page.goto(page_file.as_uri())
            page.wait_for_selector(".mark")
            if page.locator(".panel").count() == 1:
                page.select_option("#model", label=_MODEL)
            page.locator(".controls").evaluate("controls => controls.scrollIntoView()")
            panel = page.locator(".panel", has=page.get_by_text(_MODEL, exact=True))
            place = panel.locator(f'.mark[aria-label^="{_FAMILY}"]').first.bounding_box()
            middle = (place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
            page.touchscreen.tap(*middle) if screen.get("has_touch") else page.mouse.click(*middle)
            page.locator("#card").wait_for()
            page.screenshot(path=folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
