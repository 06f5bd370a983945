"""An image in, captions out: a convolutional grid, an LSTM and adaptive attention between them."""
