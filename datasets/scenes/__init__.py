"""Rendered scenes with exact annotations: images, English captions, German translations."""
