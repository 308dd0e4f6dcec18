"""Reasoning graphs of users: chains of reasons, what could come next, and what of it held up (LLMRG).

A :class:`~llm_workers.reasoning.builder.ChainBuilder` turns a request into the next version of a user's graph, with
the four operations of a :class:`~llm_workers.reasoning.protocol.Reasoner`: a language model's or counting's.
"""
