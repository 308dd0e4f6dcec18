"""The client of OpenAI-compatible endpoints: chat and embeddings, polite, bounded and frugal.

Nothing is imported eagerly: the ``openai`` package takes its time, and only workers that use an endpoint need it.
"""
