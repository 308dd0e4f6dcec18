"""Reasoning graphs and their base models under the papers' protocol: leave-one-out, every item ranked."""
