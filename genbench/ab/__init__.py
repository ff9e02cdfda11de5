"""Two versions of some code against each other, live: what each needs for a training step, in alternating windows."""
