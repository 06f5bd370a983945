"""WikiText-2, articles of Wikipedia."""
