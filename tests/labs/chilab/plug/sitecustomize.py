"""Start SQLite transactions as BEGIN IMMEDIATE in processes that have CHILAB_BEGIN_IMMEDIATE set (Nova's).

Why: oslo.db starts every transaction with a plain BEGIN. One that first reads and then writes is refused at once with
"database is locked" when another process has written in between; no timeout helps. Nova has several writing processes
per database, so heartbeats and now and then a request failed. Taking the write lock at the start makes them queue.
"""

import os

if os.environ.get("CHILAB_BEGIN_IMMEDIATE"):
    import sqlite3.dbapi2

    class Cursor(sqlite3.Cursor):
        def execute(self, statement, *parameters):
            return super().execute("BEGIN IMMEDIATE" if statement == "BEGIN" else statement, *parameters)

    class Connection(sqlite3.Connection):
        def cursor(self, factory=Cursor):
            return super().cursor(factory)

    def connect(*arguments, _connect=sqlite3.dbapi2.connect, **options):
        return _connect(*arguments, **({"factory": Connection} | options))

    sqlite3.dbapi2.connect = connect
