"""What is adapted: the frozen base model, its weights and its generation."""
