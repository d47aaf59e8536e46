"""The table of scripts/bench-strategies."""

import unittest

import ways


class TableTest(unittest.TestCase):
    """Medians are of ratios and differences within a round, not of the medians."""

    def test_medians_within_rounds(self):
        samples = [
            {"haproxy": 10.0, "round_robin": 5.0, "p2c": 6.0},
            {"haproxy": 20.0, "round_robin": 12.0, "p2c": 12.5},
            {"haproxy": 10.0, "round_robin": 6.0, "p2c": 9.0},
        ]
        self.assertEqual(
            list(ways.table(samples)),
            [
                "| | CPU per request | to HAProxy | to `round_robin` |",
                "|---|---|---|---|",
                "| HAProxy | 10.0 µs | 1.00 | +5.00 µs |",
                "| `round_robin` | 6.0 µs | 0.60 | +0.00 µs |",
                "| `p2c` | 9.0 µs | 0.62 | +1.00 µs |",
            ],
        )

    def test_every_way_writes_keys_of_its_own(self):
        keys = [way.routing(0)["KEYS"] for way in ways.ways() if way.name != "haproxy"]
        self.assertEqual(len(keys), len(set(keys)))


if __name__ == "__main__":
    unittest.main()
