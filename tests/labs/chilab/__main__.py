from tests.labs import chilab, cli
from tests.labs.chilab import packages

METHODS = ("start", "stop", "restart", "hang", "resume", "hold", "fail", "release", "occupy", "vacate", "left", "reset")

if __name__ == "__main__":
    cli.main(
        chilab.__doc__,
        "chi",
        chilab.ChiLab,
        packages.make_packages,
        METHODS,
        shown=lambda lab: {site: lab.environment(site) for site in chilab.SITES},
    )
