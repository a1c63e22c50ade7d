"""Floating-point operations of a traced function, counted on its jaxpr.

XLA's own count takes the body of a loop once, so that a model of scanned layers seems to have one.
"""

import math
from typing import Any

import jax
from jax.extend import core


def count(jaxpr: core.ClosedJaxpr | core.Jaxpr) -> int:
    """Returns the multiplications and additions of all matrix products, over all devices.

    A product of [m, k] and [k, n] is 2mkn. What a backward pass computes again counts again; of
    the branches of a condition the largest counts, and the body of a loop of unknown length once.

    Args:
      jaxpr: such as `jax.jit(f).trace(...).jaxpr`.
    """
    return sum(_equation(equation) for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns)


def _equation(equation: Any) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        return _product(equation)
    if name == "cond":
        return max(map(count, params["branches"]))
    inner = sum(count(leaf) for leaf in jax.tree.leaves(list(params.values()), is_leaf=_is_jaxpr)
                if _is_jaxpr(leaf))
    if name == "shard_map":
        return inner * params["mesh"].size  # the inner shapes are one device's
    return inner * params["length"] if name == "scan" else inner


def _product(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted)


def _is_jaxpr(x: Any) -> bool:
    return isinstance(x, (core.Jaxpr, core.ClosedJaxpr))
