"""The one skorch shell that trains any metanetwork over a population."""
