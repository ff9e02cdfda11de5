"""Training a model: building it, the engine and its phases, optimisers, averaged weights, checkpoints, evidence."""
