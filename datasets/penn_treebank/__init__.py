"""The Penn Treebank, preprocessed for word-level language models."""
