"""Image captioning: a convolutional encoder and an LSTM decoder with adaptive attention."""
