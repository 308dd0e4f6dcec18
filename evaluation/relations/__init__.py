"""Relation-aware recommenders under their papers' protocol: leave-one-out, each true item among 99 drawn ones."""
