"""Latent relations in words: a language model names what the strongest pairs of a relation have in common."""
