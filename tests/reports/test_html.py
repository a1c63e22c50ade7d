"""A study's page: rows with and without files side by side, each number linked to what bears it out."""

import html as html_lib
import re

import html_page
import page_programs
import pytest

from sah_jax import errors
from sah_jax.complexity import lineages, reported
from sah_jax.reports import html, latex, samples, tables

LINEAGE = lineages.Lineage("L", "random", "nano", "post")
PROGRAMS = [
    page_programs.program("short", 100, 0.3, experiment_name="baseline"),
    page_programs.program("long", 1000, 0.5),
    page_programs.program("full", 9000, 0.6, experiment_name="full"),
    page_programs.program("post", 10, 0.7, model_name="post"),
    page_programs.program("start", 50, 0.1, model_name="random")]
THEIRS = [page_programs.reported_row(3, 4000, 0.4), page_programs.reported_row(9, 80000, 0.2)]


def _render(programs=PROGRAMS, theirs=THEIRS, **options):
    rows = [*(program.row for program in programs), *theirs]
    return html.render(
        "t", programs, tables.complexity_table(rows), reported_rows=theirs, known=[LINEAGE], **options)


def _section(page, heading):
    return re.search(rf"<h[23]>{heading}</h[23]>(.*?)(?=<h[23]>|$)", page, re.DOTALL)[1]


def test_reported_rows_stand_beside_programs():
    text = _render()
    page = html_page.check_loads_nothing(text)
    for row in THEIRS:
        assert f"{row.point}, no file" in page.words
    # They have no entry and no error.
    assert text.count('<details class="point"') == len(PROGRAMS)
    line = re.search(r'<tr id="row-6">.*?</tr>', text, re.DOTALL)[0]
    assert "theirs.jsonl:3, no file" in line and "±" not in line and "reported" in line and ">4,800<" in line
    assert "2 of 7 points are reported by another system" in page.words


def test_a_page_of_reported_rows_alone_has_no_programs():
    page = html_page.check_loads_nothing(_render([], THEIRS))
    assert "Where each bit of each file went" not in page.words and "theirs.jsonl:9, no file" in page.words


LEAD = {
    "ours": ("A program is a file", "shortest verified program found", "as its witness. Programs", "±"),
    "both": ("A program is a file", "or what another system reports",
             "of those that are verified or reported", "witness where it is verified", "±"),
    "theirs": ("system reports, without files", "shortest reported program", "which no file bears out",
               "no errors are known")}


@pytest.mark.parametrize("rows", LEAD)
def test_the_lead_says_what_is_true_of_the_rows(rows):
    text = _render([] if rows == "theirs" else PROGRAMS, [] if rows == "ours" else THEIRS)
    lead = " ".join(re.sub("<.*?>", "", re.search(r'<p class="lead">(.*?)</p>', text, re.S)[1]).split())
    assert all(words in lead for words in LEAD[rows])
    # Neither what is true of the others alone.
    assert not any(words in lead for other in LEAD.values() for words in other if words not in LEAD[rows])
    kinds = {"ours": "verified", "both": "verified or reported", "theirs": "reported"}
    assert f"shares of the best {kinds[rows]} selection score" in text


def test_derived_quantities_link_to_their_witnesses():
    text = _render()
    # Of the reported and our own rows the shortest that reaches 0.8 · 0.6 is "long", 0.9 · 0.6 "full".
    shares = _section(text, "Bits to a share of the best score, of all methods")
    nano = re.search(r'<td class="name">nano</td>.*?</tr>', shares, re.DOTALL)[0]
    assert re.findall(r'href="#(.*?)">([\d,]+) bits', nano) == [
        ("program-2", "8,400"), ("program-3", "72,400"), ("program-3", "72,400"), ("program-3", "72,400")]
    reduction = _section(text, "Reduction by post-training")
    # With and without full fine-tuning, side by side.
    link = r'.*?"#(.*?)">([\d,]+) bits'
    assert re.findall(f"<td>(all|main)</td>{link}{link}", reduction, re.DOTALL) == [
        ("all", "program-3", "72,400", "program-4", "480"),
        ("main", "program-2", "8,400", "program-4", "480")]
    assert f"{72400 / 480:.1f} ×" in reduction and f"{8400 / 480:.1f} ×" in reduction
    differences = html_lib.unescape(_section(text, "Difference of stages, of all methods"))
    # Ours is not known below 1,200 bits, where the random model has a program of 0.1.
    assert "nano − random" in differences and "-0.100" in differences and "+0.500" in differences
    assert '<a href="#row-6">4,800 bits</a>' in differences


def test_the_papers_main_methods_are_derived_from_too():
    text = _render()
    main = text[text.index("The same of the paper's main methods"):]
    shares = _section(main, "Bits to a share of the best score, of the paper&#39;s main methods")
    nano = re.search(r'<td class="name">nano</td>.*?</tr>', shares, re.DOTALL)[0]
    assert set(re.findall(r'href="#(.*?)">([\d,]+) bits', nano)) == {
        ("row-6", "4,800"), ("program-2", "8,400")}
    assert "leave\nout Full fine-tuning, LM head, Phase one, Phase two, Combined." in text
    without = [program for program in PROGRAMS if program.row.experiment_name != "full"]
    text = _render(without, [])
    assert "The same of" not in text and "main methods" not in text.split("<h2>Derived</h2>")[1]
    assert re.findall("<td>(all|main)</td>", text) == ["all"]


def test_flags_of_the_frontier_count_scripts_only_where_lengths_do():
    programs = [page_programs.program("short script", 100, 0.5, script_bits=0),
                page_programs.program("short file", 90, 0.5, script_bits=4000)]
    for add, chosen in ((True, "short script"), (False, "short file")):
        points = _section(_render(programs, [], add_script_bits=add), "Points")
        lines = re.findall(r"<tr>.*?</tr>", points, re.DOTALL)
        assert [f">{chosen}<" in line for line in lines if "<td>yes</td><td>yes</td>" in line] == [True]


def test_the_largest_difference_of_stages_is_said():
    programs = [page_programs.program("pre", 10, 0.5), page_programs.program("better", 1000, 0.9),
                page_programs.program("post", 100, 0.8, model_name="post")]
    differences = html_lib.unescape(_section(_render(programs, []), "Difference of stages, of all methods"))
    # -0.5 from the first length on, +0.3, and at last -0.1.
    assert "at most +0.300, from 1,200 bits; in the end -0.100" in differences


def test_checkpoints_stand_in_the_order_of_their_training():
    programs = [page_programs.program(model, 10 * size, 0.1 * size, model_name=model)
                for size, model in enumerate(("post", "aside", "nano", "random"), start=1)]
    rows = [program.row for program in programs]
    order = ["random", "nano", "post", "aside"]
    table = tables.complexity_table(rows, known=[LINEAGE])
    assert list(dict.fromkeys(entry.model for entry in table)) == order
    text = html.render("t", programs, table, known=[LINEAGE])
    shares = _section(text, "Bits to a share of the best score, of all methods")
    assert re.findall(r'<td class="name">(.*?)</td>', shares) == order
    assert html_page.check_loads_nothing(text).blocks[0]["models"] == order
    shares = latex.tables(rows, table, [LINEAGE])["shares"]
    assert [line.split(" & ")[2] for line in shares.splitlines() if "100" in line] == order


def test_where_nothing_counts_nothing_is_derived():
    programs = [page_programs.program("a", 10, 0.5, verified=False)]
    words = html_page.check_loads_nothing(_render(programs, [])).words
    assert "Derived" not in words and "No point is verified" in words


def test_samples_are_shown_in_full_as_texts():
    long = page_programs.HOSTILE + "x" * 5000 + "\nend"
    sample = {"prompt": long, "answer": "\x00", "response": "<b>bold</b>"}
    page = html_page.check_loads_nothing(_render([page_programs.program("a", 10, 0.5, [sample])], []))
    assert long.replace("\x1b", "‹U+001B›") in page.words
    assert "‹U+0000›" in page.words and "<b>bold</b>" in page.words and "img" not in page.tags
    # Not once more among the sidecar's notes.
    assert page.words.count("x" * 5000) == 1 and "lanes" in page.words


def test_samples_are_left_out_where_the_page_is_full(monkeypatch):
    monkeypatch.setattr(samples, "PAGE_CHARACTERS", 25)
    # The frontier's come first.
    programs = [page_programs.program("pale", 100, 0.1), page_programs.program("chosen", 10, 0.5)]
    text = _render(programs, [])
    assert text.count('class="sample"') == 1 and text.count("Left out, because this page is full") == 1
    assert text.index('class="sample"') > text.index('id="program-2"')


def test_a_sidecar_with_wrong_samples_is_named():
    with pytest.raises(errors.UserError, match="^points/a/program.json: got the samples"):
        _render([page_programs.program("a", 10, 0.5, [{"prompt": 1}])], [])


def test_a_program_of_zeros_is_said_to_be_the_base_model_wherever_it_stands():
    zeros = page_programs.program("zeros", 100, 0.7, experiment_name="lora", unchanged=True)
    base = page_programs.program("base", 1, 0.1, experiment_name="baseline", unchanged=True)
    text = _render([zeros, base], [])
    said = "all zero: the base model"
    assert f"· {said}" in re.search(r'<details class="point" id="program-1">.*?</summary>', text, re.S)[0]
    for heading in ("arithmetic", "Bits to a share of the best score, of all methods", "Points"):
        assert f"LoRA ({said})" in _section(text, heading)
    assert "Baseline (" not in text
    points = html_page.check_loads_nothing(text).blocks[0]["rows"]
    assert [point["remark"] for point in points] == [said, ""]


def test_figures_are_embedded():
    png = b"\x89PNG\r\n\x1a\n" + b"0" * 10
    page = html_page.check_loads_nothing(_render(figures={"first.png": png, "<b>.svg": b"<svg></svg>"}))
    sources = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert [source.split(";")[0] for source in sources] == ["data:image/png", "data:image/svg+xml"]
    assert "<b>.svg" in page.words
    assert "img" not in html_page.Page(_render()).tags
    with pytest.raises(ValueError, match="figures: got 'first.jpg' with"):
        _render(figures={"first.jpg": b"\xff\xd8"})


def test_hostile_names_are_texts():
    hostile = page_programs.HOSTILE
    names = dict(experiment_name=hostile, model_name=hostile, dataset_name=hostile)
    ours = page_programs.program(f"a{hostile}", 10, 0.5, strategy_hparams={hostile: hostile}, **names)
    text = _render([ours], [page_programs.reported_row(1, 8, 0.1, point=f"{hostile}:1", **names)])
    page = html_page.check_loads_nothing(text)
    assert "img" not in page.tags and page.words.count("<img src=x") > 10
    (figure,) = page.blocks
    assert figure["tasks"] == [hostile.replace("\x1b", "‹U+001B›")]


def test_the_same_rows_give_the_same_page():
    assert _render() == _render()


def test_a_page_of_the_references_rows_is_small(shared_data):
    rows = reported.read_rows(shared_data.parent / "reference" / "final-results-clean.jsonl")
    text = _render([], rows)
    assert len(text) < 3_000_000
    assert len(html_page.check_loads_nothing(text).blocks[0]["rows"]) == len(rows)
    assert text.count("final-results-clean.jsonl:") >= 2 * len(rows)
