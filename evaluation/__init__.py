"""Measuring recommendations on data that arrives in time order.

Readers bring a historical log into one shape, metrics are pure functions of ranks, and protocols replay a log
through the engine that also runs live. Plotting stays out of this room's import path, because stream workers
import the metrics.
"""
