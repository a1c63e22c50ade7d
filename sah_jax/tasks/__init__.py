"""Tasks: what a model is adapted to, how it is prompted and how it is scored."""
