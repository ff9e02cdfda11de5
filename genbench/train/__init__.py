"""How a model learns: data on the device, phases, the engine, averaged weights, checkpoints, proof of training."""
