"""Settings repeated over seeds: means, errors, and who is as good as whom."""

import dataclasses

import pytest
import row_template

from sah_jax.reports import repeats


def _row(family, setting, seed, bits, selection, test=None, **changes):
    return dataclasses.replace(
        row_template.TEMPLATE, experiment_name=family, strategy_hparams=setting, seed=seed, bits=bits,
        selection_performance=selection, performance=selection if test is None else test,
        point=f"{family} {setting} {seed}", **changes)


RAW = {"rank": 1, "bits_per_weight": 16, "num_examples": 64}
PAPER = {"num_examples": 32, "learning_rate": 1e-3}
ROWS = [
    *(_row("lora", RAW, seed, 160_000, 0.5, 0.4 + 0.1 * seed, reference_bits=159_000) for seed in range(3)),
    _row("lora", {"rank": 1, "rate_weight": 1e-5}, 0, 9_000, 0.3),
    *(_row("bayesian_bits", {"rank": 1}, seed, 20_000 + 100 * seed, 0.55) for seed in range(2)),
    *(_row("vector", {"size": 9}, seed, 4_000, 0.5) for seed in range(2)),
    # Better on the test split, which takes no part in a choice.
    *(_row("vector", {"size": 3}, seed, 400, 0.49, 0.9) for seed in range(2)),
    _row("online", PAPER, 0, 30_000, 0.5), _row("online", PAPER | {"num_examples": 64}, 0, 60_000, 0.4),
    _row("online", PAPER | {"inputs": "generated"}, 0, 3_000, 0.6, portable=False),
]


def test_cells_are_settings_and_their_errors_are_over_seeds():
    cells = repeats.group(ROWS)
    assert [len(cell.rows) for cell in cells] == [3, 1, 2, 2, 2, 1, 1, 1]
    first, second = cells[0], cells[2]
    assert first.mean("performance") == pytest.approx(0.5)
    assert first.stderr("performance") == pytest.approx(0.1 / 3**0.5)
    assert second.mean("bits") == 20_050 and second.stderr("bits") == 50
    # Of one seed no error is known, and none is told or drawn.
    assert cells[5].stderr("bits") is None
    [line] = repeats.table(cells[5:6]).splitlines()[2:]
    assert "0.500" in line and "±" not in line


def test_the_shortest_as_good_is_chosen_on_the_selection_split():
    cells = repeats.group(ROWS)
    assert repeats.shortest(cells, cells[0]).setting == PAPER | {"inputs": "generated"}
    assert repeats.shortest(cells[:5], cells[0]).setting == {"size": 9}
    assert repeats.shortest(cells[3:5], cells[2]) is None


def test_tables_say_what_there_is():
    cells = repeats.group(ROWS)
    long, short = repeats.table(cells), repeats.table(cells, short=True)
    lines = [line for line in long.splitlines() if "`" in line]
    bits = [float(line.split("|")[3].split("±")[0].replace(",", "")) for line in lines]
    assert bits == sorted(bits) and len(lines) == len(cells)
    assert "159,000" in long and "portable" in long and "portable" not in short
    assert "| `lora` rank 1, 16 bits, 64 examples | 3 | 160,000 |" in long and "0.500 ± 0.058" in long
    equal = repeats.equal_scores(cells).splitlines()
    assert "53.3x" in equal[2] and "6.7x" in equal[2] and "`online` inputs generated" in equal[2]
    assert "30,000" in equal[3] and "10.0x" in equal[3]


def test_sections_and_seeds_are_named():
    setting = {"icl": {"num_examples": 1}, "vector": {"size": 7}}
    (cell,) = repeats.group([_row("icl+vector", setting, 0, 9, 0.1)])
    assert cell.label == "`icl+vector` d = 7, 1 example"


def test_figures_are_drawn():
    cells = repeats.group(ROWS)
    figure = repeats.draw_families(cells)
    labels = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}
    assert {"LoRA", "Bayesian LoRA", "Shared vector", "Subset training"} <= labels
    ranks = repeats.group([
        _row("lora", {"rank": rank}, seed, 9 * rank, 0.1) for rank in (1, 2) for seed in (0, 1)])
    drawn = repeats.draw_ablations({"rank": ranks})
    assert [tick.get_text() for tick in drawn.axes[0].get_xticklabels()] == ["1", "2"]
