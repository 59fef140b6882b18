"""nova-compute with Nova's own fake driver, which "boots" servers at once, and steps that can be held and can fail.

Why not a driver of our own: Nova loads none from outside its package.
"""

from nova.cmd.compute import main  # before all else, since it prepares threads

from chifault import step  # isort: skip
from nova.virt import fake  # isort: skip


class Driver(fake.PredictableNodeUUIDDriver):
    def spawn(self, *arguments, **options):
        step("server.boot")
        super().spawn(*arguments, **options)

    def destroy(self, *arguments, **options):
        step("server.delete")
        super().destroy(*arguments, **options)


fake.LabDriver = Driver
main()
