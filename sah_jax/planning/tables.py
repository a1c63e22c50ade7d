"""Plans as tables: for the terminal, a column a step, and for Markdown, a row a plan."""

from collections.abc import Sequence

import rich.box
import rich.console
import rich.table

from sah_jax.models import sharding
from sah_jax.planning import plan as plan_lib

_GIB = 2**30
_KEY = (
    "All of one chip. It fits where arguments, temporaries, output and code take at most "
    f"{1 - plan_lib.MARGIN:.0%} of the chip's memory. Operations are those of matrix products. A step takes "
    "at least what its products, its links to other chips or one reading of its arguments take at the "
    "documented peaks, perfectly overlapped; nothing has run on a TPU.")


def print_plans(plans: Sequence[plan_lib.Plan], console: rich.console.Console) -> None:
    """Prints a column for each plan, and below them what could not be had."""
    title = plans and f"{plans[0].model}, {plans[0].setting['batch']} x {plans[0].setting['length']} tokens"
    table = rich.table.Table(title=title or None, box=rich.box.SIMPLE_HEAD, show_edge=False)
    table.add_column("")
    cells = [_cells(plan) for plan in plans]
    for plan in plans:
        table.add_column(plan.step, justify="right")
    for name in cells[0] if cells else ():
        table.add_row(name, *(one[name] for one in cells))
    console.print(table)
    for plan in plans:
        if plan.refused:
            console.print(f"{plan.step}: the compiler refused it, {plan.refused}", highlight=False)
        if plan.unreadable:
            console.print(
                f"{plan.step}: what is sent is not known, for the compiled text cannot be printed "
                f"({plan.unreadable})", highlight=False)
    console.print(_KEY, highlight=False)


def print_sharding(step: str, rows: Sequence[sharding.Row], console: rich.console.Console) -> None:
    """Prints where each leaf of a step's arguments lives, and how much of it one device holds."""
    table = rich.table.Table(
        title=f"{step}: arguments of one device", box=rich.box.SIMPLE_HEAD, show_edge=False)
    for name, justify in (("leaf", "left"), ("shape", "left"), ("dtype", "left"), ("spec", "left"),
                          ("bytes a device", "right")):
        table.add_column(name, justify=justify)
    for row in rows:
        table.add_row(row.path, str(tuple(row.shape)), row.dtype, str(tuple(row.spec)),
                      f"{row.bytes_per_device:,}")
    table.add_section()
    table.add_row("all", "", "", "", f"{sum(row.bytes_per_device for row in rows):,}")
    console.print(table)


MARKDOWN_HEAD = (
    "| model | batch | step | slice | mesh | arguments | temporaries | total | fits, of HBM | products "
    "| sent | at least | MFU at most | compiled in (CPU) | compiler's RSS |\n"
    "|---|--:|---|---|---|" + "--:|" * 10)


def markdown_row(plan: plan_lib.Plan) -> str:
    """Returns one row below `MARKDOWN_HEAD`."""
    cells = _cells(plan)
    shown = ("topology", "mesh", "arguments", "temporaries", "total", "fits", "operations", "sent",
             "takes at least", "MFU at most", "compiled in (CPU)", "compiler's RSS")
    return " | ".join(
        [f"| {plan.model}", str(plan.setting["batch"]), plan.step, *(cells[name] for name in shown)]) + " |"


def fits_text(plan: plan_lib.Plan) -> str:
    """Says whether a plan fits, and how much of a chip's memory it takes."""
    if plan.chip is None:
        return "simulated"
    if plan.refused:
        return "no" if plan.too_large else "not known"
    return f"{'yes' if plan.fits else 'no'}, {plan.total_bytes / plan.chip.hbm_bytes:.0%}"


def _cells(plan: plan_lib.Plan) -> dict[str, str]:
    """Returns what there is to say of a plan, '-' for what is not known."""
    bounds, known = plan.bounds(), not plan.refused
    slowest = max(bounds, key=bounds.get) if bounds else ""
    size = lambda count: _scaled(count, "B", 1024, " KMGT") if known else "-"
    return {
        "topology": plan.topology,
        "mesh": " ".join(f"{axis}={parts}" for axis, parts in plan.mesh.items() if parts > 1) or "-",
        "arguments": _scaled(plan.argument_bytes, "B", 1024, " KMGT"),
        "temporaries": size(plan.temporary_bytes),
        "output": size(plan.output_bytes),
        "code": size(plan.code_bytes),
        "peak, says the compiler": size(plan.peak_bytes),
        "total": size(plan.total_bytes),
        "fits": fits_text(plan),
        "operations": _scaled(plan.flops, "FLOP", 1000, " kMGTP"),
        "needed": _scaled(plan.needed_flops, "FLOP", 1000, " kMGTP"),
        "sent": "-" if plan.sent_bytes is None else _scaled(plan.sent_bytes, "B", 1000, " kMGTP"),
        "most of it": _most(plan),
        "takes at least": f"{_milliseconds(bounds[slowest])} ({slowest})" if bounds else "-",
        "MFU at most": "-" if plan.mfu_bound is None else f"{plan.mfu_bound:.0%}",
        "compiled in (CPU)": f"{plan.compile_seconds:.0f} s ({plan.cpu_seconds:.0f} s)",
        "compiler's RSS": f"{plan.host_bytes / _GIB:.1f} GiB",
    }


def _most(plan: plan_lib.Plan) -> str:
    """Returns the kind of collective that sends most, with how many there are."""
    if not plan.collectives:
        return "-"
    first = plan.collectives[0]
    return f"{first['count']} {first['kind']}"


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.0f} ms" if seconds >= 0.1 else f"{1e3 * seconds:.2g} ms"


def _scaled(count: float, unit: str, base: int, prefixes: str) -> str:
    """Returns a number with the largest prefix of its unit that leaves at least 1."""
    power = 0
    while count >= base and power < len(prefixes) - 1:
        count, power = count / base, power + 1
    binary = "i" if base == 1024 and power else ""
    digits = f"{count:.2f}" if base == 1024 and power else f"{count:.3g}"
    return f"{digits} {prefixes[power].strip()}{binary}{unit}"
