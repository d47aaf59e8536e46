//! The pauses between tries.

use std::time::Duration;

use berth_client::Backoff;

#[test]
fn pauses_double_up_to_the_cap_with_jitter_of_a_half() {
    for _ in 0..100 {
        let mut backoff = Backoff::new();
        for (tries, middle_ms) in [100, 200, 400, 800, 1600, 2000, 2000].into_iter().enumerate() {
            let pause = backoff.next_pause();
            let middle = Duration::from_millis(middle_ms);
            assert!(pause >= middle / 2 && pause <= middle * 3 / 2, "try {tries}: {pause:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next_pause() <= Duration::from_secs(3));
        }
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(150));
    }
}
