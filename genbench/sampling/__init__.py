"""Using trained networks or checkpoints: samples, reconstructions, interpolations, likelihood bounds."""
