"""What a verdict must and must not forgive."""

import unittest

import table
from record import Death, Outage, Record, Stop
from scenes import FULL, SCENES, SHORT
from verdict import judge, shortcomings

NO_TIMES = {"p50_ms": 1, "p99_ms": 2, "p999_ms": 3, "max_ms": 4}


def request(begun, ended, method="GET", kind=None, name="a", asked=0):
    """One that a client told of."""
    times = {"begun_ms": begun, "ended_ms": ended, "asked_ms": asked}
    return {**times, "method": method, "kind": kind, "id": name}


def verdict(resent=0, **more):
    """Of a record with these parts."""
    sums = {"ok": 10, "failed": len(more.get("failed", [])), "resent": resent, "lag_ms": 0}
    sums |= {"all": NO_TIMES, "get": NO_TIMES}
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

    def test_only_what_a_death_brings_is_forgiven(self):
        deaths = [Death("i0", 100, 101)]
        for notes in ({}, {"a": ["i0"]}):
            for kind in ("wrong", "status-404", "status-503", "timeout", "refused", "reset", "closed"):
                seen = verdict(failed=[request(99, 102, "POST", kind)], notes=notes, deaths=deaths)
                self.assertEqual((seen.lost, seen.failed_post), (0, 1), kind)
            late = request(99, 1200, "POST", "status-502")
            self.assertEqual(verdict(failed=[late], notes=notes, deaths=deaths).failed_post, 1)
        late = request(99, 1200, kind="broken")
        self.assertEqual(verdict(failed=[late], deaths=deaths).failed_get, 1)

    def test_a_rival_may_say_it_in_its_own_way(self):
        more = {"failed": [request(99, 102, "POST", "closed")], "deaths": [Death("i0", 100, 101)]}
        self.assertEqual(verdict(**more).failed, 1)
        self.assertEqual(verdict(lost_as=("status-502", "closed"), **more).failed, 0)

    def test_a_get_is_given_up_when_three_instances_died_with_it(self):
        deaths = [Death("i0", 500, 501), Death("i1", 1000, 1001), Death("i2", 1500, 1501)]
        visits = [("i0", 5), ("i1", 502), ("i2", 1002)]
        # The client knew before us.
        failed = [request(0, 1500.5, kind="status-502", asked=3000)]

        def failed_get(deaths, visits):
            return verdict(failed=failed, deaths=deaths, visits={"a": visits}).failed_get

        self.assertEqual(failed_get(deaths, visits), 0)
        self.assertEqual(failed_get(deaths, visits[:2]), 0)
        self.assertEqual(failed_get(deaths, visits[:1]), 1)
        self.assertEqual(failed_get(deaths[1:], visits[1:]), 1)
        self.assertEqual(failed_get(deaths, [*visits[:2], ("i3", 1002)]), 1)

    def test_nobody_can_answer_when_all_are_dead(self):
        outages = [Outage(100, 110, 1000)]
        failed = [request(at, at + 5, kind="status-503") for at in (99, 500, 900, 1600)]
        seen = verdict(failed=failed, outages=outages)
        self.assertEqual((seen.failed, seen.refused, seen.refused_max_ms, seen.service_ms), (0, 2, 5, 600))
        seen = verdict(failed=[request(4000, 4001, kind="status-503")], outages=outages)
        self.assertEqual((seen.failed, seen.service_ms), (1, 3000))

    def test_an_outage_is_no_excuse_for_anything_else(self):
        outages = [Outage(100, 110, 1000)]
        for begun, ended, kind, otherwise in (
            (500, 501, "wrong", 1),
            (500, 501, "reset", 1),
            (500, 501, "status-502", 1),
            (105, 30105, "timeout", 1),
            (105, 112, "reset", 1),
            (105, 112, "status-502", 0),
            (105, 112, "broken", 0),
            (1500, 1501, "closed", 1),
            (1500, 1501, "status-503", 0),
        ):
            seen = verdict(failed=[request(begun, ended, kind=kind)], outages=outages)
            self.assertEqual((seen.otherwise, seen.is_harmless), (otherwise, not otherwise), (begun, kind))


class Moved(unittest.TestCase):
    def test_the_last_one_in_trouble_tells(self):
        slow = [request(150, 1200), request(500, 1000), request(29990, 30400), request(30100, 30700)]
        seen = verdict(slow=slow, marks=[100, 30000])
        self.assertEqual((seen.moved_ms, seen.longest_ms), (1100, 1050))
        self.assertEqual(verdict(slow=[request(110, 250)], marks=[100]).moved_ms, 0)
        self.assertEqual(verdict(failed=[request(1100, 1101, kind="reset")], marks=[100]).moved_ms, 1001)

    def test_the_next_event_does_not_excuse_trouble_before_it(self):
        marks = [100, 800, 1500]
        self.assertEqual(verdict(slow=[request(110, 1600)], marks=marks).moved_ms, 1500)
        self.assertEqual(verdict(slow=[request(790, 1100)], marks=marks).moved_ms, 300)

    def test_what_was_lost_does_not_count_as_trouble(self):
        more = {"deaths": [Death("i0", 800, 801)], "marks": [100, 800]}
        self.assertEqual(verdict(failed=[request(700, 802, "POST", "status-502")], **more).moved_ms, 0)

    def test_time_that_was_asked_for_is_no_wait(self):
        slow = [request(100, 2900, asked=2000)]
        # Done at once; done late; begun anew elsewhere after a death, which takes no more time than it must.
        self.assertEqual(verdict(slow=slow, visits={"a": [("i0", 900)]}).longest_ms, 800)
        self.assertEqual(verdict(slow=slow, visits={"a": [("i0", 110)]}).longest_ms, 800)
        more = {"visits": {"a": [("i0", 110), ("i1", 890)]}, "marks": [850]}
        self.assertEqual(verdict(slow=slow, deaths=[Death("i0", 850, 880)], **more).longest_ms, 30)
        seen = verdict(slow=slow, stops=[Stop("i0", 200, 200, 5000)], **more)
        self.assertEqual((seen.longest_ms, seen.held), (710, 0))
        # Noted late by one that had been stopped.
        late = {"a": [("i0", 2850), ("i1", 110)]}
        self.assertEqual(verdict(slow=slow, visits=late, stops=[Stop("i0", 50, 50, 2840)]).longest_ms, 800)
        # Taken away from an instance that lives.
        self.assertEqual(verdict(slow=slow, **more).longest_ms, 800)

    def test_a_post_waits_for_the_stopped_instance_that_has_it(self):
        more = {"slow": [request(150, 20000, "POST")], "marks": [100], "notes": {"a": ["i0"]}}
        self.assertEqual(verdict(stops=[Stop("i0", 100, 100, 19990)], **more).longest_ms, 4)
        self.assertEqual(verdict(stops=[Stop("i1", 100, 100, 19990)], **more).longest_ms, 19850)
        self.assertEqual(verdict(stops=[Stop("i0", 20001, 20001, 30000)], **more).longest_ms, 19850)
        self.assertEqual(verdict(stops=[Stop("i0", 50, 50, 140)], **more).longest_ms, 19850)

    def test_a_get_need_not_wait_until_a_stopped_instance_goes_on(self):
        slow = [request(100, 2100), request(4500, 6000), request(5900, 6100), request(100, 6000, "POST")]
        seen = verdict(slow=slow, stops=[Stop("i0", 0, 0, 5950)])
        self.assertEqual((seen.held, seen.is_harmless), (1, False))
        self.assertTrue(verdict(slow=slow, stops=[Stop("i0", 0, 0, 3000)]).is_harmless)
        # It was at work all the time.
        slow = [request(4500, 6300, asked=1500)]
        self.assertEqual(verdict(slow=slow, visits={"a": [("i1", 4600)]}, stops=[Stop("i0", 0, 0, 5950)]).held, 0)

    def test_a_client_that_heals_a_reset_has_seen_it(self):
        self.assertFalse(verdict(resent=1).is_harmless)
        self.assertEqual(len(shortcomings(verdict(resent=1), SCENES[0])), 1)

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
