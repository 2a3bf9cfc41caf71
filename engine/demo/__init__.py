"""The bundled spoken conversation, what was meant by it, and how well the engine did on it."""
