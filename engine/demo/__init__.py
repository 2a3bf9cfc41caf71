"""A spoken conversation that comes along, what was meant by it, and how well the engine did on it."""
