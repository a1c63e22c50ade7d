"""What a table says of plans that are whole, refused or unreadable."""

import dataclasses

import rich.console

from sah_jax.planning import plan, steps, tables

WHOLE = plan.Plan(
    model="tiny", topology="v5e:2x2", step="lora", setting=dataclasses.asdict(steps.Setting(8, 512)),
    mesh={"data": 1, "fsdp": 4, "tensor": 1}, flops=197e12, needed_flops=98.5e12, argument_bytes=2 * 2**30,
    compile_seconds=61.2, cpu_seconds=40.0, host_bytes=2**30, temporary_bytes=3 * 2**30,
    collectives=[{"kind": "all-gather", "count": 7, "sent_bytes": 4 * 10**11}])
REFUSED = dataclasses.replace(
    WHOLE, step="prefix", temporary_bytes=0, collectives=None, refused="RESOURCE_EXHAUSTED", too_large=True)
UNREADABLE = dataclasses.replace(WHOLE, step="decode", collectives=None, unreadable="RET_CHECK failure")


def _printed(*plans):
    console = rich.console.Console(width=120, record=True, file=open("/dev/null", "w"))
    tables.print_plans(plans, console)
    return console.export_text()


def test_each_step_is_a_column_with_its_numbers():
    text = _printed(WHOLE, UNREADABLE)
    for said in ("8 x 512", "lora", "decode", "v5e:2x2", "fsdp=4", "2.00 GiB", "3.00 GiB", "197 TFLOP",
                 "400 GB", "7 all-gather", "61 s"):
        assert said in text
    # What is sent takes two seconds, the products one, of which half are needed.
    assert "2,000 ms (interconnect)" in text and "25%" in text
    # Where it is not known what is sent, the products bound the time.
    assert "1,000 ms (compute)" in text and "50%" in text and "RET_CHECK failure" in text


def test_what_was_refused_says_why_and_shows_no_number_that_is_not_known():
    text = _printed(REFUSED)
    assert "RESOURCE_EXHAUSTED" in text and "no" in text.split() and "0 B" not in text


def test_a_row_has_a_cell_for_each_column_of_its_head():
    columns = tables.MARKDOWN_HEAD.splitlines()[0].count("|")
    for one in (WHOLE, REFUSED, UNREADABLE):
        row = tables.markdown_row(one)
        assert row.count("|") == columns and "\n" not in row
    assert tables.fits_text(WHOLE) == "yes, 34%"
