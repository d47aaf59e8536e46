//! `balancer check`, and starting with a file, with the real binary.

use std::io::Write;
use std::process::{Command, Output, Stdio};

const WRONG: &str = "lisen: 1\nroutes:\n  - {pth: /, service: web}\n";

fn run(arguments: &[&str], input: &str) -> Output {
    let mut balancer = Command::new(env!("CARGO_BIN_EXE_balancer"))
        .args(arguments)
        .env_remove("BERTH_TOKEN")
        .env_remove("BERTH_REGISTRY")
        .env("WIDTH_OF_A_TEST", "7")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("balancer");
    // It may end without having read it.
    let _ = balancer.stdin.take().expect("stdin").write_all(input.as_bytes());
    balancer.wait_with_output().expect("its end")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn check_says_that_a_file_is_right() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        "threads: ${WIDTH_OF_A_TEST}\nroutes: [{service: web}]\nbackends: {spare: {service: x}}\n",
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    for arguments in [["check", "-c", path], ["-c", path, "check"], ["validate", "--config", path]] {
        let output = run(&arguments, "");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(text(&output.stdout), format!("{path} is valid: 1 route, 2 backends\n"));
        let warning = format!("{path}:3:12: warning: no route uses the backend `spare`");
        assert!(text(&output.stderr).starts_with(&warning), "{output:?}");
    }
}

#[test]
fn check_tells_everything_that_is_wrong() {
    let output = run(&["check", "-c", "-"], WRONG);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert_eq!(text(&output.stdout), "");
    let expected = "stdin:1:1: unknown key `lisen`, did you mean `listen`?\n  |\n1 | lisen: 1\n  | ^^^^^\n\
                    stdin:3:6: unknown key `pth`, did you mean `path`?\n  |\n\
                    3 |   - {pth: /, service: web}\n  |      ^^^\n";
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn check_needs_a_file() {
    let output = run(&["check"], "");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("balancer check -c FILE"), "{output:?}");
}

#[test]
fn a_balancer_does_not_start_with_a_wrong_or_missing_file() {
    let output = run(&["-c", "-", "--port", "0", "--admin", "none"], WRONG);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(text(&output.stderr).contains("stdin:3:6: unknown key `pth`"), "{output:?}");
    for arguments in [&["-c", "/nowhere/balancer.yaml"][..], &["check", "-c", "/nowhere/balancer.yaml"]] {
        let output = run(arguments, "");
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let expected = "/nowhere/balancer.yaml: cannot be read: No such file or directory";
        assert!(text(&output.stderr).starts_with(expected), "{output:?}");
    }
}

#[test]
fn an_open_admin_port_is_told_of_a_file() {
    let output = run(&["check", "-c", "-"], "admin: 0.0.0.0:9099\n");
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(text(&output.stderr).starts_with("stdin: an admin port on 0.0.0.0:9099"), "{output:?}");
    let output = run(&["--token", "secret", "check", "-c", "-"], "admin: 0.0.0.0:9099\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
