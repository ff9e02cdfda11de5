"""The life of a cell in stages (load, build, train, evaluate, count), with a result whatever happens."""
