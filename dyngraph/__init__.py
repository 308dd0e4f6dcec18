"""The continuous-time dynamic graph: events, node memory, neighbours, and the one ordered step over them.

This room knows nothing of Kafka, of files or of any particular model. It is handed an encoder, candidate
sources and a ranker by the rooms above it and guarantees the order in which they may see the world.
"""
