"""What is made: the grid of points, the runner and its processes, verification, and rows."""
