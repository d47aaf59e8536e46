"""What a verdict must and must not forgive."""

import unittest

import table
from scenes import FULL, SCENES, SHORT
from verdict import Death, Outage, Record, judge, shortcomings

NO_TIMES = {"p50_ms": 1, "p99_ms": 2, "p999_ms": 3, "max_ms": 4}


def request(begun, ended, method="GET", kind=None, name="a"):
    """One that a client told of."""
    return {"begun_ms": begun, "ended_ms": ended, "method": method, "kind": kind, "id": name}


def verdict(**more):
    """Of a record with these parts."""
    sums = {"ok": 10, "failed": len(more.get("failed", [])), "lag_ms": 0, "all": NO_TIMES, "get": NO_TIMES}
    return judge(Record(sum=sums, **more))


class Forgiven(unittest.TestCase):
    def test_a_post_is_lost_with_the_instance_that_had_it(self):
        failed = [request(95, 101, "POST", "status-502")]
        seen = verdict(failed=failed, notes={"a": ["i0"]}, deaths=[Death("i0", 100, 101)])
        self.assertEqual((seen.lost, seen.failed), (1, 0))

    def test_a_post_that_another_instance_had_must_not_fail(self):
        failed = [request(95, 101, "POST", "status-502")]
        seen = verdict(failed=failed, notes={"a": ["i1"]}, deaths=[Death("i0", 100, 101)])
        self.assertEqual((seen.lost, seen.failed_post), (0, 1))

    def test_a_post_under_way_at_a_death_may_lie_in_the_dead_ones_socket(self):
        death = Death("i0", 100, 101)
        self.assertEqual(verdict(failed=[request(99, 102, "POST", "status-502")], deaths=[death]).lost, 1)
        self.assertEqual(verdict(failed=[request(102, 103, "POST", "status-502")], deaths=[death]).failed_post, 1)
        self.assertEqual(verdict(failed=[request(90, 99, "POST", "status-502")], deaths=[death]).failed_post, 1)

    def test_a_get_must_not_fail_unless_its_answer_had_begun(self):
        deaths = [Death("i0", 100, 101)]
        self.assertEqual(verdict(failed=[request(99, 102, kind="status-502")], deaths=deaths).failed_get, 1)
        self.assertEqual(verdict(failed=[request(99, 102, kind="broken")], deaths=deaths).failed_get, 0)
        self.assertEqual(verdict(failed=[request(50, 60, kind="broken")], deaths=deaths).failed_get, 1)

    def test_nobody_can_answer_when_all_are_dead(self):
        outages = [Outage(100, 110, 1000)]
        failed = [request(at, at + 5, kind="status-503") for at in (99, 500, 900, 1600)]
        seen = verdict(failed=failed, outages=outages)
        self.assertEqual((seen.failed, seen.refused, seen.refused_max_ms, seen.service_ms), (0, 2, 5, 600))
        seen = verdict(failed=[request(4000, 4001, kind="status-503")], outages=outages)
        self.assertEqual((seen.failed, seen.service_ms), (1, 3000))


class Moved(unittest.TestCase):
    def test_the_last_one_in_trouble_tells(self):
        slow = [request(150, 20000), request(500, 1000), request(29900, 30400), request(30100, 30500)]
        seen = verdict(slow=slow, marks=[100, 30000])
        self.assertEqual((seen.moved_ms, seen.longest_ms), (400, 19850))
        self.assertEqual(verdict(slow=[request(110, 250)], marks=[100]).moved_ms, 0)
        self.assertEqual(verdict(failed=[request(1100, 1101, kind="reset")], marks=[100]).moved_ms, 1000)

    def test_a_post_waits_for_the_stopped_instance_that_has_it(self):
        more = {"slow": [request(150, 20000, "POST")], "marks": [100], "stopped": {"i0"}}
        self.assertEqual(verdict(notes={"a": ["i0"]}, **more).longest_ms, 4)
        self.assertEqual(verdict(notes={"a": ["i1"]}, **more).longest_ms, 19850)

    def test_a_get_need_not_wait_until_a_stopped_instance_goes_on(self):
        slow = [request(100, 2100), request(4500, 6000), request(5900, 6100), request(100, 6000, "POST")]
        seen = verdict(slow=slow, went_on=[5950])
        self.assertEqual((seen.held, seen.is_harmless), (1, False))
        self.assertTrue(verdict(slow=slow, went_on=[3000]).is_harmless)

    def test_a_post_may_not_be_done_twice(self):
        self.assertEqual(verdict(notes={"a": ["i0", "i1"], "b": ["i0"]}).twice, 1)


class Told(unittest.TestCase):
    def test_each_promise_is_held_to(self):
        scene = next(scene for scene in SCENES if scene.name == "all")
        good = verdict(failed=[request(150, 160, kind="status-503")], outages=[Outage(100, 110, 1000)])
        self.assertEqual(shortcomings(good, scene), [])
        slow = verdict(failed=[request(150, 260, kind="status-503")], outages=[Outage(100, 110, 1000)])
        self.assertEqual(len(shortcomings(slow, scene)), 1)
        late = verdict(failed=[request(5000, 5001, kind="status-503")], outages=[Outage(100, 110, 1000)])
        # It failed, there was no 503 while nobody was there, and service came too late.
        self.assertEqual(len(shortcomings(late, scene)), 3)

    def test_each_scenario_has_a_title_in_each_plan(self):
        titles = [scene.told(plan) for scene in SCENES for plan in (FULL, SHORT)]
        self.assertIn("one of 4 stopped for 20 s", titles)
        self.assertIn("one of 4 stopped for 6 s", titles)

    def test_the_tables_replace_those_before(self):
        scene = SCENES[0].told(FULL)
        text = table.section([(scene, "Berth", verdict()), (scene, "HAProxy", verdict())], "about", ["note"])
        once = table.replace_section(f"before {table.BEGIN} old {table.END} after", text)
        self.assertEqual(once.count("killed in turn, 20 times"), 1)
        self.assertNotIn("old", once)
        self.assertEqual(table.replace_section(once, text), once)
        with self.assertRaises(ValueError):
            table.replace_section("nothing", text)


if __name__ == "__main__":
    unittest.main()
