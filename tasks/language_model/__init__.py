"""Language modelling: the probability of a text, its continuation, and words for blanks, by recurrent networks."""
