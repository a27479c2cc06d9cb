"""Numbers read off the weights of networks."""
