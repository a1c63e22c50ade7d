"""Tables for papers, in LaTeX with booktabs."""

from collections.abc import Sequence

from sah_jax.complexity import derived, frontier, lineages
from sah_jax.reports import derived_page, style
from sah_jax.reports import tables as tables_lib

_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"}}


def tables(
    rows: Sequence[frontier.Row], complexity: Sequence[tables_lib.Complexity],
    known: Sequence[lineages.Lineage], *, add_script_bits: bool = True,
) -> dict[str, str]:
    """Returns the tables of a report by name; those without lines are left out.

    Shares and reductions are of each of `derived.method_sets`; reductions so with and without full
    fine-tuning.

    Args:
      rows: the points.
      complexity: of them, see `tables.complexity_table`.
      known: the lineages that models may be of.
      add_script_bits: whether a length counts the script.
    """
    sets = derived.method_sets(rows)
    lines = {
        "complexity": (
            ("Task", "Model", "Score", "Bits, all methods", "Family", "Test score"),
            [(one.task, one.model, tables_lib.format_level(one), *(
                (_bits(one.bits), tables_lib.format_family(one.witness),
                 tables_lib.format_estimate(one.witness)) if one.witness else ("not reached", "", "")))
             for one in complexity]),
        "shares": (
            ("Methods", "Task", "Model", "Share of best", "Score", "Bits", "Family"),
            [(methods, one.task, one.model, f"{one.share:.0%}", style.format_score(one.score),
              _bits(one.bits), tables_lib.format_family(one.witness)) for methods, own in sets.items()
             for one in derived_page.shares(own, known, add_script_bits=add_script_bits)]),
        "reductions": (
            ("Methods", "Model", "Task", "Best pre-trained", "Score", "Family", "Post-trained", "Score",
             "Family", "Reduction"),
            [(methods, one.lineage, one.task, _bits(one.best_bits),
              style.format_score(one.best.performance), tables_lib.format_family(one.best), *(
                  (_bits(one.matching_bits), style.format_score(one.matching.performance),
                   tables_lib.format_family(one.matching), _factor(one.factor)) if one.matching
                  else ("not reached", "", "", "")))
             for methods, own in sets.items()
             for one in derived.reductions(own, known, add_script_bits=add_script_bits)]),
    }
    return {name: table(header, own) for name, (header, own) in lines.items() if own}


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Returns a tabular of texts, in which nothing is taken for a command."""
    body = [" & ".join(map(escape, line)) + r" \\" for line in (header, *lines)]
    return "\n".join([
        r"\begin{tabular}{" + "l" * len(header) + "}", r"\toprule", body[0], r"\midrule", *body[1:],
        r"\bottomrule", r"\end{tabular}", ""])


def escape(text: str) -> str:
    """Returns a text as LaTeX prints it."""
    text = "".join(_SPECIAL.get(character, character) for character in text)
    return text.replace("±", r"$\pm$").replace("\n", " ")


def _bits(bits: int) -> str:
    return f"{bits:,}"


def _factor(factor: float | None) -> str:
    return "" if factor is None else f"{factor:,.1f}x"
