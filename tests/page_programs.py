"""Programs as a study's page takes them, without files, for tests."""

import dataclasses

import html_page
import row_template

from sah_jax.complexity import reported
from sah_jax.reports import html, parts

HOSTILE = html_page.HOSTILE + "<img src=x onerror=document.title='broken'>"
SAMPLE = {"prompt": "How many?", "answer": "7", "response": "They are 7."}


def program(point, size, score, samples=(SAMPLE,), **changes):
    """Returns a program of `size` bytes whose ledger has two fields."""
    row = dataclasses.replace(
        row_template.TEMPLATE, point=point, bits=8 * size, program=f"points/{point}/program.sah",
        **{"performance": score, "selection_performance": score, "script_bits": 400} | changes)
    ledger = (parts.Part("header", 8, 8.0), parts.Part("tokens", 8 * size - 8, 8.0 * size)) if size else ()
    return html.Program(row, ledger, {}, {"backend": "cpu"}, {"samples": list(samples), "lanes": 1})


def reported_row(line, bits, score, **changes):
    """Returns a row that another system reports, in line `line` of a file."""
    row = reported.ReportedRow(
        "online", "arithmetic", "nano", score, bits, 1, {"lr": 1e-4}, f"theirs.jsonl:{line}", script_bits=800)
    return dataclasses.replace(row, **changes)
