"""Experiments: several contenders on one log under one plan, with figures that can be had again."""
