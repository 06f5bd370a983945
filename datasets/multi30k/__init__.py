"""Multi30k: image captions in English, German and French."""
