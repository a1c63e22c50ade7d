"""What `sah study --list` prints: models, points, what is done, and what the rest will cost."""

import rich.console

from sah_jax.reports import style, tables
from sah_jax.studies import estimates
from sah_jax.studies import listing as listing_lib

_UNKNOWN = "?"


def print_listing(
    listing: listing_lib.Listing, console: rich.console.Console, every_point: bool = False
) -> None:
    """Prints a study as it stands, by model, task and family, and if wanted every point."""
    _print_models(listing, console)
    if every_point:
        _print_points(listing, console)
    _print_groups(listing, console)
    for note in listing.notes:
        console.print(f"not counted: {note}", highlight=False, markup=False, soft_wrap=True)
    console.print(_key(listing), highlight=False, markup=False)


def _print_models(listing: listing_lib.Listing, console: rich.console.Console) -> None:
    table = tables.new_table("Base models", "Model", ">Parameters", ">Weights a device", "Weights")
    for model in listing.models:
        sizes = (_UNKNOWN, _UNKNOWN)
        if model.spec:
            sizes = f"{model.spec.num_params:,}", style.format_bytes(8 * model.device_bytes)
        tables.add_row(
            table, model.model, *sizes, "here" if model.here else "not downloaded", dim=not model.here)
    console.print(table)
    if problems := [model.problem for model in listing.models if model.spec is None]:
        console.print(
            f"{len(problems)} of {len(listing.models)} models are not found, the first: {problems[0]}",
            highlight=False, markup=False, soft_wrap=True)


def _print_groups(listing: listing_lib.Listing, console: rich.console.Console) -> None:
    columns = (">Points", ">Done", ">Pending", ">Claimed", ">Failed", ">Training", ">Token by token",
               ">Chip-hours", ">Left")
    for model in listing.models:
        table = tables.new_table(_name(model), "Task", "Family", *columns)
        groups = [group for group in listing.groups if group.model == model]
        for group in groups:
            tables.add_row(table, group.point.task, group.point.family, *_numbers(listing, group),
                           dim=not group.count(listing_lib.MISSING))
        console.print(table)
    table = tables.new_table("All", *columns)
    tables.add_row(table, *_numbers(listing, listing.whole))
    console.print(table)


def _print_points(listing: listing_lib.Listing, console: rich.console.Console) -> None:
    for group in listing.groups:
        table = tables.new_table(
            f"{group.point.task}, {_name(group.model)}", "Point", "State", ">Training", ">Token by token",
            ">Chip-hours")
        for entry in group.entries:
            tables.add_row(table, entry.point.label(), entry.state, *_cost(listing, entry.cost),
                           dim=entry.state == listing_lib.DONE)
        console.print(table)


def _name(model: listing_lib.Model) -> str:
    return model.name or model.model


def _numbers(listing: listing_lib.Listing, group: listing_lib.Group) -> tuple[str, ...]:
    counts = (len(group.entries), group.count(listing_lib.DONE), group.count(listing_lib.PENDING),
              group.claimed, group.failed)
    left = _cost(listing, group.cost((listing_lib.MISSING,)))[-1]
    return *(f"{count:,}" for count in counts), *_cost(listing, group.cost()), left


def _cost(listing: listing_lib.Listing, cost: estimates.Cost | None) -> tuple[str, str, str]:
    """Returns operations of training, those token by token, and hours."""
    if cost is None:
        return (_UNKNOWN,) * 3
    return (_operations(cost.training), _operations(cost.coding + cost.scoring),
            _hours(cost.hours(listing.chip)))


def _operations(count: int) -> str:
    return f"{count:.1e}" if count else "0"


def _hours(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 0.05 or not hours else "< 0.1"


def _key(listing: listing_lib.Listing) -> str:
    devices = f", of which the mesh has {listing.devices}," if (listing.devices or 1) > 1 else ""
    return (
        "Estimates by the number of parameters: floating-point operations until points are verified, and "
        f"hours of one {listing.chip_name} chip{devices} at {estimates.TRAINING_UTILISATION:.0%} of its "
        f"peak in training, {estimates.CODING_UTILISATION:.0%} in coding examples and "
        f"{estimates.SCORING_UTILISATION:.0%} in generating answers. Left is what is not made yet.")
