"""Says how probable a text is, and goes on from a prompt."""
