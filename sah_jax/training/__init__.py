"""How θ is fitted: loss, step and loop."""
