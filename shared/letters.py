"""Classes of characters, for the package `regex` and for TensorFlow's RE2.

Python's `re` has no class for marks: the vowel signs of Hindi and Tamil, the points of Hebrew, accents of decomposed
text. It would split words at them.
"""

LETTERS = r"\p{L}\p{N}_"  # Python's \w
SPACES = r"\x09-\x0d\x1c-\x20\x85\p{Z}"  # Python's \s
MARKS = "\\p{M}\u200c\u200d"  # with the joiners within words of Persian and Hindi; each follows its letter
