# Copyright the edgebench developers. Apache-2.0.
"""Chameleon, through python-chi: sites, leases, servers, containers, and the record of what is ours there."""
