"""The temporal graph network once more: slow and plain, one event and one vector at a time."""
