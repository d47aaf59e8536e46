"""What needs no proxy: the arithmetic, the tables, the plot and the markers. `python3 -m unittest discover -s
scripts/proxy_bench` runs this."""

import os
import unittest
import xml.dom.minidom

import backend
import configs
import load
import measure
import peers
import plot
import report

PEERS = [peer for peer in peers.PEERS if peer.name in ("balancer", "haproxy")]
SMALL = load.WORKLOADS[0]


def results():
    """Two proxies, three rounds; HAProxy is missing in the third."""
    found = report.Results()
    for number, (ours, theirs) in enumerate([(10.0, 20.0), (30.0, 40.0), (50.0, None)], 1):
        for peer, cpu in (("balancer", ours), ("haproxy", theirs)):
            if cpu:
                sample = {"cpu": cpu, "rate": 1e6 / cpu, "p50": 100, "p99": 2000, "errors": 0}
                found.add("100b", peer, number, sample)
    return found


class Report(unittest.TestCase):
    def test_medians_are_over_all_rounds_and_ratios_over_shared_ones(self):
        found = results()
        self.assertEqual(found.median("100b", "balancer", "cpu"), 30)
        self.assertEqual(found.median("100b", "haproxy", "cpu"), 30)
        self.assertEqual(found.ratio("100b", "balancer", "cpu"), (0.5 + 0.75) / 2)
        self.assertEqual(found.ratio("100b", "haproxy", "cpu"), 1)

    def test_what_was_not_measured_is_a_dash(self):
        found = results()
        self.assertIsNone(found.median("100b", "nginx", "cpu"))
        self.assertIsNone(found.ratio("16k", "balancer", "cpu"))
        self.assertEqual(report.cell(found, "100b", "nginx", "cpu"), "–")

    def test_three_digits_count(self):
        shown = {0: "0", 0.1234: "0.123", 4.5678: "4.57", 78.94: "78.9", 1234: "1,230", 123456: "123,000"}
        for value, text in shown.items():
            self.assertEqual(report.short(value), text)

    def test_units(self):
        self.assertEqual(report.microseconds(656), "656 µs")
        self.assertEqual(report.microseconds(1020), "1.02 ms")
        self.assertEqual(report.mebibytes(1536), "1.50 MiB")

    def test_a_table(self):
        found = report.figures_table(results(), [SMALL], PEERS, "CPU", "cpu", report.microseconds)
        expected = [
            "| CPU | balancer | HAProxy |",
            "| --- | --- | --- |",
            "| 100 B | **0.62** · 30.0 µs | 30.0 µs |",
        ]
        self.assertEqual(found.splitlines(), expected)

    def test_failed_requests_are_told(self):
        found = results()
        found.rounds("100b", "balancer")[1]["errors"] = 3
        text = report.section(found, [SMALL], PEERS, load.IDLE, "About.")
        self.assertIn("30.0 µs (!)", text)
        self.assertIn("100 B: balancer 3", text)

    def test_memory(self):
        found = report.Results()
        found.add("idle", "haproxy", 1, {"idle10": 1024, "idle5000": 1024 + 4990})
        found.add("idle", "balancer", 1, {"idle10": 512, "idle5000": 512 + 2 * 4990})
        rows = report.memory_table(found, PEERS, load.IDLE).splitlines()
        self.assertEqual(rows[2], "| 10 idle connections | **0.50** · 0.500 MiB | 1.00 MiB |")
        self.assertEqual(rows[4], "| each of them | 2.00 KiB | 1.00 KiB |")

    def test_json_has_rounds_medians_and_ratios(self):
        found = results().plain()["100b"]["balancer"]
        self.assertEqual([sample["round"] for sample in found["rounds"]], [1, 2, 3])
        self.assertEqual((found["median"]["p99"], found["ratio"]["p50"], found["ratio"]["errors"]), (2000, 1, None))


class Markers(unittest.TestCase):
    def test_only_what_is_between_them_changes(self):
        before = f"# A\n\n{report.BEGIN}\nold\n{report.END}\n\nB\n"
        after = f"# A\n\n{report.BEGIN}\n\nnew\n\n{report.END}\n\nB\n"
        self.assertEqual(report.replace_section(before, "new\n"), after)
        self.assertEqual(report.replace_section(after, "new\n"), after)

    def test_without_them_nothing_is_written(self):
        wrong = ["", report.BEGIN, report.END, report.END + report.BEGIN, 2 * (report.BEGIN + report.END)]
        for document in wrong:
            with self.assertRaises(ValueError):
                report.replace_section(document, "new")

    def test_the_documentation_has_them(self):
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "benchmarks.md")
        with open(path) as file:
            report.replace_section(file.read(), "new")


class Plot(unittest.TestCase):
    def test_a_bar_for_each_ratio(self):
        svg = xml.dom.minidom.parseString(plot.draw(results(), [SMALL], PEERS))
        # One in the legend, and none for HAProxy: that is the line.
        self.assertEqual(len(svg.getElementsByTagName("rect")), 1 + 1)
        self.assertEqual(len(svg.getElementsByTagName("line")), 1)

    def test_nothing_to_draw(self):
        self.assertIsNone(plot.draw(report.Results(), [SMALL], PEERS))

    def test_each_proxy_has_a_colour(self):
        self.assertEqual({peer.name for peer in peers.PEERS} - {report.BASE}, set(plot.COLOURS))


class Parts(unittest.TestCase):
    def test_endpoints_differ(self):
        self.assertEqual(backend.endpoints(2, 80), ["127.1.0.1:80", "127.1.0.2:80"])
        self.assertEqual(len(set(backend.endpoints(10_000, 80))), 10_000)

    def test_templates_take_their_values(self):
        self.assertEqual(configs.fill("a @B@ c@d", {"B": 1}), "a 1 c@d")
        with self.assertRaises(KeyError):
            configs.fill("@MISSING@", {})

    def test_endpoints_in_templates(self):
        for peer in peers.PEERS:
            if peer.templates:
                (line,) = peers.lines(peer.endpoint, ["127.1.0.1:80"])
                self.assertIn("127.1.0.1", line)
                self.assertIn("80", line)

    def test_a_result_of_wrk(self):
        line = 'RESULT {"requests": 5, "seconds": 1.5, "p50": 1, "p99": 2, "errors": 0}'
        self.assertEqual(load.parse(f"Running\n{line}\n")["seconds"], 1.5)
        with self.assertRaises(load.Failed):
            load.parse("unable to connect")

    def test_when_an_answer_is_complete(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
        self.assertFalse(measure.complete(head[:-1]))
        self.assertFalse(measure.complete(head + b"a"))
        self.assertTrue(measure.complete(head + b"ab"))
        self.assertTrue(measure.complete(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"))

    def test_own_processor_time(self):
        self.assertGreater(measure.cpu_seconds(os.getpid()), 0)
        self.assertGreater(measure.memory_kib(os.getpid()), 0)


if __name__ == "__main__":
    unittest.main()
