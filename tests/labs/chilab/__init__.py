"""A small testbed like Chameleon: real OpenStack services on 127.0.0.1, with two sites, in the manner of python-chi.

usage: python -m tests.labs.chilab install            make what labs need, once
       python -m tests.labs.chilab up                 start a lab; prints how to log in and stays until `down`
       python -m tests.labs.chilab COMMAND [ARGUMENT ...]   have the lab that is up do something (--help)

README.md says what is real in it and what stands in for something.
"""

from tests.labs.chilab.lab import ChiLab, host_keys_on_console
from tests.labs.chilab.services import DEVICES, EDGE, NODES, SITES, UC

__all__ = ["DEVICES", "EDGE", "NODES", "SITES", "UC", "ChiLab", "host_keys_on_console"]
