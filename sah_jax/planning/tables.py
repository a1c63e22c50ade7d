"""Plans as tables: for the terminal and for Markdown."""

from collections.abc import Sequence

import rich.box
import rich.console
import rich.table

from sah_jax.planning import plan as plan_lib

_GIB = 2**30


def print_plans(plans: Sequence[plan_lib.Plan], console: rich.console.Console) -> None:
    """Prints a row for each plan, and below them what the numbers are."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, show_edge=False)
    for name in ("Step", "Topology", "Mesh"):
        table.add_column(name)
    for name in ("Arguments", "Temporaries", "Peak", "TFLOP", "Sent GB", "Least ms", "MFU at most", "Compile",
                 "RSS GiB"):
        table.add_column(name, justify="right")
    table.add_column("Fits")
    for plan in plans:
        table.add_row(plan.step, plan.topology, mesh_text(plan.mesh), *_cells(plan), fits_text(plan))
    console.print(table)
    for plan in plans:
        if plan.refused:
            console.print(f"{plan.step} on {plan.topology} was refused: {plan.refused}", highlight=False)
        if plan.unreadable:
            console.print(
                f"{plan.step} on {plan.topology}: the compiled text cannot be printed, so what is sent is "
                f"not known ({plan.unreadable})", highlight=False)
    console.print(
        "GiB, TFLOP (of matrix products) and GB sent are of one chip. Fits: arguments, temporaries, output "
        f"and code take at most {1 - plan_lib.MARGIN:.0%} of its memory. Least ms: what products, links and "
        "one reading of the arguments take at the chip's documented peaks, perfectly overlapped; nothing has "
        "run on a TPU.", highlight=False)


def _cells(plan: plan_lib.Plan) -> list[str]:
    """Returns the numbers of a plan, '-' for those that are not known."""
    bounds = plan.bounds()
    slowest = max(bounds, key=bounds.get) if bounds else ""
    known = not plan.refused
    return [
        f"{plan.argument_bytes / _GIB:.2f}",
        f"{plan.temporary_bytes / _GIB:.2f}" if known else "-",
        f"{plan.total_bytes / _GIB:.2f}" if known else "-",
        f"{plan.flops / 1e12:.3g}",
        "-" if plan.sent_bytes is None else f"{plan.sent_bytes / 1e9:.2f}",
        f"{1e3 * bounds[slowest]:.1f} ({slowest})" if bounds else "-",
        "-" if plan.mfu_bound is None else f"{plan.mfu_bound:.0%}",
        f"{plan.compile_seconds:.0f} s",
        f"{plan.host_bytes / _GIB:.1f}",
    ]


def mesh_text(mesh: dict[str, int]) -> str:
    """Returns the axes of a mesh that split anything."""
    return " ".join(f"{axis}={size}" for axis, size in mesh.items() if size > 1) or "-"


def fits_text(plan: plan_lib.Plan) -> str:
    """Says whether a plan fits, and how much of a chip's memory it takes."""
    if plan.chip is None:
        return "simulated"
    if plan.refused:
        return "no" if plan.too_large else "refused"
    return f"{'yes' if plan.fits else 'no'}, {plan.total_bytes / plan.chip.hbm_bytes:.0%}"


MARKDOWN_HEAD = (
    "| model | batch | step | slice | mesh | arguments | temporaries | total GiB (of HBM) | TFLOP | GB sent "
    "| least ms | MFU at most | compile s (CPU s) | RSS GiB |\n" + "|---|--:|---|---|---|" + "--:|" * 9)


def markdown_row(plan: plan_lib.Plan) -> str:
    """Returns one row below `MARKDOWN_HEAD`."""
    arguments, temporaries, total, flops, sent, least, mfu, _, host = _cells(plan)
    return "| " + " | ".join([
        plan.model, str(plan.setting["batch"]), plan.step, plan.topology, mesh_text(plan.mesh), arguments,
        temporaries, f"{total} ({fits_text(plan)})", flops, sent, least, mfu,
        f"{plan.compile_seconds:.0f} ({plan.cpu_seconds:.0f})", host]) + " |"
