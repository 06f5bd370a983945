"""The translator: a sentence in one language to a sentence in another, by an encoder and a decoder with attention."""
