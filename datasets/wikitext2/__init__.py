"""WikiText-2: Wikipedia articles."""
