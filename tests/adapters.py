"""Low-rank programs of given numbers, for tests that need a file and no fit."""

from sah_jax.programs import latents, lora, quantised, registry


def theta(base, rank, bits, symbols_of, exponent_of=lambda number: -20, alpha=8, seed=0) -> quantised.Theta:
    """Returns the θ of a `lora` whose arrays are `symbols_of(number, shape)` in the file's order."""
    form = lora.LoraForm(rank=rank, bits_per_weight=bits, alpha=alpha)
    return numbers("lora", base, form, symbols_of, exponent_of, seed)


def numbers(
    family, base, form, symbols_of, exponent_of=lambda number: -7, seed=1, extra=()
) -> quantised.Theta:
    """Returns the θ of a family of numbers, of a form."""
    shapes = registry.get_family(family).shapes(form, base.decoder)
    symbols = {name: symbols_of(number, shape) for number, (name, shape) in enumerate(shapes.items())}
    exponents = {name: exponent_of(number) for number, name in enumerate(shapes)}
    return quantised.Theta(form, seed, latents.Latents(symbols, exponents), extra)
