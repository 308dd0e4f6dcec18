"""Texts as vectors: encoders behind :class:`llm_workers.protocols.TextEncoder`, and what is made with them."""
