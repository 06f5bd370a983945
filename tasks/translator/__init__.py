"""The translator: a sentence in, the same in another language out, by an encoder, attention and a decoder."""
