"""What is compared: the grid of points, the runner, verification, rows and the frontier."""
