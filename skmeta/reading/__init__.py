"""Numbers read off the weights of networks."""

__all__: list[str] = []
