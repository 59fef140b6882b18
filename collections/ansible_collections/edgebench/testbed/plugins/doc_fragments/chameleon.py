# Copyright the edgebench developers. Apache-2.0.
"""What the documentation of several modules for Chameleon shares."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = """
options:
  site:
    description: The site, and how to log in to it.
    type: dict
    required: true
    suboptions:
      name:
        description: The site's name, which is that of its region, such as C(CHI@UC).
        type: str
        required: true
      auth_url:
        description: Address of its Keystone. Empty means the one that the credentials name.
        type: str
        default: ""
      credentials:
        description:
          - Path of a clouds.yaml or openrc file. Empty means C(clouds.yaml) here or in C(~/.config/openstack), or the
            environment (C(OS_*)), whichever is of this site.
        type: str
        default: ""
      cloud:
        description: Name of an entry in clouds.yaml. Empty means the only one of this region.
        type: str
        default: ""
      project:
        description: Name or id of the project that the credentials must be of. Empty means any.
        type: str
        default: ""
      image:
        description: What machines boot; a name or id of an image, or, for containers, one of a registry.
        type: str
        default: ""
      key:
        description: Name of the key pair, at the site, that servers let in.
        type: str
        default: ""
      flavor:
        description: Flavor of servers.
        type: str
        default: baremetal
      network:
        description: Name of the network that servers are in.
        type: str
        default: sharednet1
      public_network:
        description: Name of the network that floating IPs are of.
        type: str
        default: public
      max_lease_hours:
        description: The longest lease that the site grants, in hours.
        type: float
        default: 168
      extend_within_hours:
        description: A lease can be extended in so many of its last hours.
        type: float
        default: 48
      lease_id:
        description: Id of a lease that was made by hand. It is used, and never changed or ended. Empty means none.
        type: str
        default: ""
  state_dir:
    description: The directory where it is on record what is ours at the sites. It need not be there yet.
    type: path
    required: true
requirements:
  - python-chi, python-blazarclient, python-zunclient (on the controller; requirements.txt)
author:
  - The edgebench developers (@edgebench)
"""

    # Of a host's machine, whether it is a server or a container.
    MACHINE = """
options:
  state:
    description:
      - V(present) makes the machine, unless the host has one that can be used, and waits until it is ready. One that
        is broken, or of an earlier lease, is replaced.
      - V(absent) deletes the machine, and ends its lease when no other host needs it.
    type: str
    choices: [present, absent]
    default: present
  host:
    description:
      - The host of the inventory whose machine it is. It must have a place in a lease (M(edgebench.testbed.lease)).
    type: str
    required: true
  name:
    description: The machine's name at the site. By default the host's.
    type: str
  image:
    description: What it boots, when that is another one than the site's.
    type: str
    default: ""
  known_hosts:
    description: Where the host keys of servers go, as OpenSSH keeps them. Means nothing for containers.
    type: path
    default: ""
  console_wait_s:
    description:
      - A server that answers at its SSH port may print its host keys on its console so many seconds later. Then the
        key of the first contact is taken. Means nothing for containers.
    type: float
    default: 60
  home:
    description:
      - The host's directory of a campaign's logs. It is noted there (C(leases.json)) by which lease it is served.
        Empty means nowhere.
    type: path
    default: ""
  su_per_hour:
    description: What the machine costs, in service units an hour; for that note.
    type: float
  wait_s:
    description: Seconds that it may take to be ready. 0 means only to ask for it.
    type: float
    default: 1800
  clean_up:
    description: Delete what was made of a machine that failed, and its lease when no other host needs it.
    type: bool
    default: true
  delete_wait_s:
    description: Seconds that its end may take.
    type: float
    default: 300
"""
