use berth_balancer::config::{Options, load, settle};

/// Whatever stands in a configuration file, it is read, or refused with a word about each problem.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // It names a file, which would be opened.
    if text.contains("upstream_ca") {
        return;
    }
    let variable = |name: &str| (name == "A").then(|| "a: [b".to_owned());
    match load(text, "fuzz.yaml", &variable) {
        Ok(loaded) => {
            let _ = settle(&Options::default(), Some(&loaded), 4096);
        }
        Err(problems) => {
            assert!(!problems.all().is_empty());
            let shown = problems.to_string();
            let is_plain = |char: char| matches!(char, '\n' | '\t') || !char.is_control();
            assert!(shown.chars().all(is_plain), "{shown:?}");
        }
    }
}
