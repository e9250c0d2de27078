"""The captured engine: a step is a list of kernel launches, on a GPU."""
