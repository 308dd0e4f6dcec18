"""Who makes profiles: each module one way, behind :class:`llm_workers.protocols.ProfileProducer`."""
