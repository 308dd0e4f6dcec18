"""The graph worker: a Faust app around shards.

Everything that knows both Kafka and the graph lives here. The graph (`dyngraph`) is handed plain records and
gives back plain results; this room fetches, batches, publishes, acknowledges, and stops loudly when it cannot
keep a promise.
"""
