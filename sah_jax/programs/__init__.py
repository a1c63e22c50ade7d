"""What is fitted: one file a family of programs, and the protocol they follow."""
