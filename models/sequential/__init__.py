"""Base models over a user's sequence of items, off line: SASRec's encoder, and DuoRec's contrast on top of it."""
