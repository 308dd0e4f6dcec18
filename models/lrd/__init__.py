"""LRD: latent relations between items, found in texts and learned with a relation-aware recommender."""
