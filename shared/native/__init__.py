"""Recurrences in machine code, with the products and threads that they stand on; nothing here knows TensorFlow."""
