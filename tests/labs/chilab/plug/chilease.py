"""Blazar plug-ins: Blazar's own for hosts, and one for devices, both with steps that can be held and can fail.

Blazar looks for leases that begin or end every ten seconds, and for servers that are gone every five; tests would wait
for nothing else as long, so here it looks oftener.
"""

import json
import os

import retrying
from blazar.db import api as db_api
from blazar.db.sqlalchemy import models
from blazar.manager import exceptions, service
from blazar.plugins import dummy_vm_plugin
from blazar.plugins.oshosts import host_plugin
from chifault import step

STOCK = json.loads(os.environ["CHILAB_DEVICES"])  # machine: how many there are
LIVE = ("pending", "active")
service.EVENT_INTERVAL = 1


class Steps:
    """Mixed in: what Blazar does when a lease starts and ends."""

    def on_start(self, resource_id):
        step("lease.start")
        super().on_start(resource_id)

    def on_end(self, resource_id):
        step("lease.end")
        super().on_end(resource_id)


class HostPlugin(Steps, host_plugin.PhysicalHostPlugin):
    _check_server_deletion = retrying.retry(
        stop_max_delay=host_plugin.INSTANCE_DELETION_TIMEOUT, wait_fixed=200, retry_on_result=lambda gone: gone is False
    )(host_plugin.PhysicalHostPlugin._check_server_deletion.__wrapped__)


def _described(reservation, to_dict=models.Reservation.to_dict):
    """A reservation's answer, with what was reserved."""
    answer = to_dict(reservation)
    if reservation.resource_type == "device" and reservation.resource_id:
        machine, _, count = reservation.resource_id.partition("*")
        wanted = {
            "resource_properties": json.dumps(["==", "$machine_name", machine]),
            "min": int(count),
            "max": int(count),
        }
        answer |= wanted
    return answer


models.Reservation.to_dict = _described


class DevicePlugin(Steps, dummy_vm_plugin.DummyVMPlugin):
    """Reservations of the type "device" (CHI@Edge).

    Why: upstream Blazar has no devices; Chameleon's plug-in lives in their fork. This one has a fixed stock and counts
    overlapping reservations, so that "none left" and "no such machine" fail as they should. The count is kept in the
    reservation's resource_id ("raspberrypi5*1"), which Blazar stores for us; answers say what it means, as Chameleon's
    do. Not here: there is no /devices API, and a lease cannot be updated.
    """

    resource_type = "device"
    title = "Devices of the lab"

    def reserve_resource(self, reservation_id, values):
        return self.allocation_candidates(values)[0]

    def allocation_candidates(self, values):
        machine = self._machine(values.get("resource_properties"))
        wanted = int(values.get("min") or values.get("max") or 1)
        if wanted > STOCK.get(machine, 0) - self._used(machine, values["start_date"], values["end_date"]):
            raise exceptions.NotEnoughHostsAvailable()
        return [f"{machine}*{wanted}"]

    def query_allocations(self, resource_id_list, lease_id=None, reservation_id=None):
        return {}

    def list_allocations(self, query, detail=False):
        return []

    @staticmethod
    def _machine(properties):
        """The machine named by '["==", "$machine_name", "x"]'; any other expression gets the commonest machine."""
        expression = json.loads(properties or "[]")
        if expression[:2] == ["==", "$machine_name"]:
            return expression[2]
        return max(STOCK, key=STOCK.get)

    @staticmethod
    def _used(machine, start, end):
        used = 0
        for reservation in db_api.reservation_get_all_by_values(resource_type="device"):
            name, _, count = (reservation["resource_id"] or "").partition("*")
            if name != machine or reservation["status"] not in LIVE:
                continue
            lease = db_api.lease_get(reservation["lease_id"])
            if lease["start_date"] < end and start < lease["end_date"]:
                used += int(count)
        return used
