"""Sound in, phonemes out: a deep bidirectional LSTM with connectionist temporal classification."""
