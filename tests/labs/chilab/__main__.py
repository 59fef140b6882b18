import argparse

from tests.labs import chilab, cli, sshlab
from tests.labs.chilab import packages
from tests.labs.chilab.cloud import FLOATING_IPS

METHODS = (
    *("start", "stop", "restart", "hang", "resume", "hold", "fail", "release", "occupy", "vacate", "left", "reset"),
    *("say_on_console", "kill_container", "clouds_yaml", "openrc"),
)


def add_arguments_of_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--addresses", nargs="+", default=FLOATING_IPS, metavar="IP", help="floating IPs, such as those of SSH hosts"
    )


def install() -> None:
    packages.make_packages()
    sshlab.make_roots()


if __name__ == "__main__":
    cli.main(
        chilab.__doc__,
        "chi",
        chilab.ChiLab,
        install,
        METHODS,
        add_arguments_of_up,
        shown=lambda lab: {site: lab.environment(site) for site in chilab.SITES},
    )
