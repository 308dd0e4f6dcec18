"""Candidate sources: each one idea about what a user may want next, one file, one name to ablate it by."""
