"""Everything that touches Kafka and everything that faces outward.

Side effects live here, at the edge: topics and codecs, the broker, the worker's agents, the HTTP port and the
command line. The rooms below are handed plain structs and never see a topic. Nothing is imported eagerly, so
that `evergraph --help` does not wait for torch.
"""
