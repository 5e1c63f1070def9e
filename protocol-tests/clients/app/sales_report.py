#!/usr/bin/env python3
"""An example: keep the answers of a slow database query in larder, cache-aside, with pymemcache.

    larder -l 127.0.0.1 -p 11211 &
    pip install pymemcache
    python3 sales_report.py

The database is SQLite in memory with the orders of a small shop; the report on one region joins,
groups and ranks them, which takes a while. The cache is asked first; only a miss runs the query. Two
things keep a cached report from growing too old: its time to live, and `place_order`, which deletes
the report that the new order makes wrong.
"""

import argparse
import json
import sqlite3
import time

from pymemcache.client.base import Client

REGIONS = ["north", "south", "west"]
ORDERS = 60_000


class JsonSerde:
    """How reports travel: as JSON, so that any client in any language can read them."""

    def serialize(self, key, value):
        return json.dumps(value).encode(), 0

    def deserialize(self, key, value, flags):
        return json.loads(value)


class Shop:
    """The slow part. Knows nothing of the cache."""

    def __init__(self):
        self.queries = 0
        self.database = sqlite3.connect(":memory:")
        self.database.execute("CREATE TABLE orders (region TEXT, customer INTEGER, cents INTEGER)")
        self.database.execute(
            """
            WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
            INSERT INTO orders
            SELECT CASE n % 3 WHEN 0 THEN 'north' WHEN 1 THEN 'south' ELSE 'west' END,
                   n * 7919 % 400, n * 104729 % 9000 + 100
            FROM number
            """,
            [ORDERS],
        )

    def add_order(self, region, customer, cents):
        self.database.execute("INSERT INTO orders VALUES (?, ?, ?)", [region, customer, cents])

    def report(self, region):
        """Turnover, and the customer whose later orders most often beat the earlier ones."""
        self.queries += 1
        turnover, orders = self.database.execute(
            "SELECT sum(cents), count(*) FROM orders WHERE region = ?", [region]
        ).fetchone()
        # Every order against every later one of the same customer: this is what takes the time.
        best, growth = self.database.execute(
            """
            SELECT early.customer, sum(late.cents > early.cents) AS growth
            FROM orders AS early JOIN orders AS late
              ON late.customer = early.customer AND late.rowid > early.rowid
            WHERE early.region = ? AND late.region = ?
            GROUP BY early.customer ORDER BY growth DESC, early.customer LIMIT 1
            """,
            [region, region],
        ).fetchone()
        return {"turnover": turnover, "orders": orders, "best customer": best, "growth": growth}


class Reports:
    """The shop's reports, from the cache when it has them."""

    def __init__(self, shop, cache, ttl_seconds):
        self.shop = shop
        self.cache = cache
        self.ttl_seconds = ttl_seconds

    def report(self, region):
        key = f"report:{region}"
        started = time.perf_counter()
        report = self.cache.get(key)
        outcome = "hit"
        if report is None:
            outcome = "miss"
            report = self.shop.report(region)
            self.cache.set(key, report, expire=self.ttl_seconds)
        milliseconds = (time.perf_counter() - started) * 1000
        print(f"{outcome:4}  {region:5}  {milliseconds:8.1f} ms  turnover {report['turnover']}")
        return report

    def place_order(self, region, customer, cents):
        self.shop.add_order(region, customer, cents)
        # First the database, then the cache: the other way round a reader could put the old report back.
        self.cache.delete(f"report:{region}")
        print(f"order {region:5}  {cents} cents, its report is deleted from the cache")


def wait_for_expiry(cache, region):
    while cache.get(f"report:{region}") is not None:
        time.sleep(0.1)
    print(f"wait  {region:5}  its time to live is over")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--server", default="127.0.0.1:11211", metavar="HOST:PORT")
    parser.add_argument("--ttl", default=5, type=int, metavar="SECONDS", help="default: %(default)s")
    options = parser.parse_args()

    cache = Client(options.server, serde=JsonSerde(), timeout=5, default_noreply=False)
    shop = Shop()
    reports = Reports(shop, cache, options.ttl)

    for region in REGIONS:
        reports.report(region)
    for region in REGIONS:
        reports.report(region)

    reports.place_order("south", customer=17, cents=123)
    for region in REGIONS:
        reports.report(region)

    wait_for_expiry(cache, "north")
    reports.report("north")
    reports.report("north")

    print(f"{shop.queries} queries for 11 reports")
    cache.close()


if __name__ == "__main__":
    main()
