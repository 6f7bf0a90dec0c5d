"""The audio-to-skeleton model: network, diffusion, skeleton space, training and generation."""
