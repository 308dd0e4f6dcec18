"""What turns graph state into scores: the temporal graph network, candidate sources, the ranker, reasons."""
