"""Asynchronous LLM artefacts. Empty for now: the room is laid out so that imports point one way from the start."""
