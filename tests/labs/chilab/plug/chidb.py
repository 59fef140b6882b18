"""Make one service's SQLite database: chidb.py SERVICE CONFIG_FILE.

Why not the *-manage commands: the migrations of Blazar, Neutron and Zun use ALTER, which SQLite does not have, so their
tables are made from the models; Nova's four commands take one start of the interpreter here instead of four.
Why WAL: several processes write to one file; without it (and the URLs' timeout=60) they meet "database is locked".
"""

import importlib
import pathlib
import re
import sqlite3
import sys
import warnings

from sqlalchemy import create_engine

warnings.simplefilter("ignore")
service, config = sys.argv[1:]
urls = re.findall(r"^connection *= *(sqlite\S+)", pathlib.Path(config).read_text(), re.M)


def wal(url):
    connection = sqlite3.connect(url.removeprefix("sqlite:///").partition("?")[0], timeout=60)
    connection.execute("PRAGMA journal_mode=WAL")
    return connection


def truncate_created_at(connection):
    """Blazar on SQLite answers created_at with microseconds, which python-chi cannot parse ("unconverted data
    remains"); MySQL, which Chameleon uses, stores whole seconds. Triggers cut the fraction off."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        for column in columns & {"created_at", "updated_at"}:
            for event in ("INSERT", "UPDATE"):
                connection.execute(
                    f"CREATE TRIGGER {table}_{column}_{event} AFTER {event} ON {table}"
                    f" WHEN substr(new.{column}, 20) NOT IN ('', '.000000') BEGIN"
                    f" UPDATE {table} SET {column} = substr({column}, 1, 19) || '.000000' WHERE rowid = new.rowid; END"
                )
    connection.commit()


def nova():
    from nova import config as nova_config
    from nova import objects
    from nova.cmd import manage

    nova_config.parse_args(["nova-manage", "--config-file", config])
    objects.register_all()
    manage.ApiDbCommands().sync()
    cell0 = urls[0].replace("nova_cell1", "nova_cell0")
    manage.CellV2Commands().map_cell0(cell0)
    manage.DbCommands().sync()
    manage.CellV2Commands().create_cell(name="cell1")
    urls.append(cell0)


def manage_sync(module, *arguments):
    sys.argv = [module, "--config-file", config, *arguments]
    try:
        importlib.import_module(module).main()
    except SystemExit as end:
        if end.code:
            raise


def from_models(metadata):
    metadata.create_all(create_engine(urls[0]))


service = service.partition("-")[0]  # blazar-edge is a Blazar
if service == "keystone":
    manage_sync("keystone.cmd.manage", "db_sync")
elif service == "placement":
    manage_sync("placement.cmd.manage", "db", "sync")
elif service == "glance":
    manage_sync("glance.cmd.manage", "db_sync")
elif service == "nova":
    nova()
elif service == "neutron":
    from neutron.db.migration.models import head

    from_models(head.get_metadata())
elif service == "blazar":
    from blazar.db.sqlalchemy import models

    from_models(models.mb.BlazarBase.metadata)
elif service == "zun":
    from zun.db.sqlalchemy import models

    from_models(models.Base.metadata)
for url in urls:
    database = wal(url)
    if service == "blazar":
        truncate_created_at(database)
