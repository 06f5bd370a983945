"""Language modelling: probability, continuation and label of a text, and words for blanks, by recurrent networks."""
