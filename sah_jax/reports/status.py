"""How far a study is, as a page in the terminal."""

import rich.console
import rich.progress_bar
import rich.table
import rich.text

from sah_jax.reports import tables
from sah_jax.studies import results
from sah_jax.studies import status as status_lib

_MOST_FAILURES = 5


def page(status: status_lib.Status) -> rich.console.RenderableType:
    """Returns a study's progress, who works on what, the latest points, and what failed."""
    done = status.verified + len(status.failed)
    parts: list[rich.console.RenderableType] = []
    if status.total:
        line = rich.table.Table.grid()  # a bar by itself does not end its line
        line.add_row(rich.progress_bar.ProgressBar(total=status.total, completed=done, width=60))
        parts.append(line)
    words = [f"{status.verified}{f' of {status.total}' if status.total else ''} points verified"]
    words += [f"{number} {what}" for number, what in (
        (status.pending, "wait for their verdict"), (len(status.failed), "failed")) if number]
    if (left := status.left_s) is not None:
        words.append(f"about {_time(left)} left")
    parts.append(rich.text.Text(", ".join(words)))
    if status.working:
        table = tables.new_table("At work", "Host", ">Process", ">Points", "First of them")
        by: dict[tuple[str, int], list[str]] = {}
        for name, claim in status.working.items():
            by.setdefault((claim.host, claim.process), []).append(name)
        for (host, process), names in sorted(by.items()):
            tables.add_row(table, host, str(process), str(len(names)), names[0])
        parts.append(table)
    if status.latest:
        table = tables.new_table("Latest", "Point", ">Bits", ">Test score", "Verified")
        for row in reversed(status.latest):
            tables.add_row(table, f"{row.dataset_name} {results.label(row)}", f"{row.bits:,}",
                           tables.format_estimate(row), "yes" if row.verified else "no")
        parts.append(table)
    for why in list(status.failed.values())[:_MOST_FAILURES]:
        parts.append(rich.text.Text(f"failed: {why}"))
    return rich.console.Group(*parts)


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"
