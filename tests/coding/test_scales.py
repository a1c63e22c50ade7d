"""The grid of steps: correctly rounded powers, the same everywhere."""

import fractions

import numpy as np
import pytest

from sah_jax.coding import file, scales


def test_steps_are_the_float32_nearest_to_the_power():
    for exponent in scales.EXPONENTS:
        step = scales.step(exponent)
        assert step.dtype == np.float32
        exact = fractions.Fraction(2) ** exponent  # of step**4
        below, above = (float(np.nextafter(step, np.float32(to))) for to in (0, np.inf))
        half = lambda near, step=step: (fractions.Fraction(float(step)) + fractions.Fraction(near)) / 2
        assert half(below) ** 4 < exact < half(above) ** 4


def test_scales_come_back_in_seven_bits():
    writer = file.ProgramWriter()
    for exponent in scales.EXPONENTS:
        scales.write_scale(writer, exponent)
    data = writer.close()
    assert 8 * len(data) <= 7 * len(scales.EXPONENTS) + 8
    reader = file.ProgramReader(data)
    assert [scales.read_scale(reader) for _ in scales.EXPONENTS] == list(scales.EXPONENTS)


@pytest.mark.parametrize("exponent", [-65, 64, 0.5])
def test_other_exponents_are_refused(exponent):
    with pytest.raises(ValueError):
        scales.write_scale(file.ProgramWriter(), exponent)
    with pytest.raises(ValueError):
        scales.step(exponent)
