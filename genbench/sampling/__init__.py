"""What is drawn from networks or checkpoints: samples, reconstructions, interpolations, likelihoods."""
