"""Multi30k: captions of photos in English, German and French."""
