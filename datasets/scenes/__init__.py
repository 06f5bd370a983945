"""Rendered scenes with perfect ground truth: images, English captions, German translations."""
