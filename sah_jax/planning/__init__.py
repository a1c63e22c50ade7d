"""What fits where: the real steps, compiled ahead of time for devices that are only described."""
