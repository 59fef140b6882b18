"""nova-compute with Nova's own fake driver, which "boots" servers at once, with steps that can be told, and consoles.

Why not a driver of our own: Nova loads none from outside its package.
"""

import os
import pathlib

from nova.cmd.compute import main  # before all else, since it prepares threads

from chifault import step  # isort: skip
from nova.virt import fake  # isort: skip

CONSOLES = pathlib.Path(os.environ["CHILAB_CONSOLES"])


class Driver(fake.PredictableNodeUUIDDriver):
    def spawn(self, *arguments, **options):
        step("server.boot")
        super().spawn(*arguments, **options)

    def destroy(self, *arguments, **options):
        step("server.delete")
        super().destroy(*arguments, **options)

    def get_console_output(self, context, instance):
        """What the lab was told for one of the server's floating IPs, else what it was told for all."""
        addresses = [one["address"] for one in instance.get_network_info().floating_ips()]
        files = [CONSOLES / name for name in (*addresses, "all")]
        return next((file.read_text() for file in files if file.exists()), "")


fake.LabDriver = Driver
main()
