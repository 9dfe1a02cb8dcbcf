"""What the engine is worth: workloads timed side by side with PyTorch, each engine in a process of its own."""
