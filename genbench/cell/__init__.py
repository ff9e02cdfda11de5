"""The life of a cell, stage by stage: load, build, train, evaluate, count; and a result whatever happens."""
