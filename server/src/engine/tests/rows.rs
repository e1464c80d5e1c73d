//! What a transition writes does not depend on how much is pending.

use super::script::Script;

/// Rows and bytes of state that the completion of one activity writes beside `others` pending ones.
fn written(others: usize) -> (usize, usize) {
    let mut script = Script::default();
    script.line("start");
    script.line("poll");
    let activities: Vec<String> = (0..=others).map(|n| format!("activity a{n} close=1m")).collect();
    script.line(&format!("complete {}", activities.join("; ")));
    for n in 0..=others {
        script.line(&format!("take a{n}"));
    }
    script.line("done a0");
    script.last_written
}

#[test]
fn a_transition_beside_many_activities_writes_what_it_writes_beside_one() {
    let (rows, bytes) = written(3);
    let (many_rows, many_bytes) = written(500);
    assert_eq!((rows, many_rows), (1, 1));
    // Event ids have more digits there.
    assert!(many_bytes <= bytes + 8, "{many_bytes} bytes instead of {bytes}");
}

#[test]
fn what_is_little_needs_no_rows() {
    assert_eq!(written(1).0, 0);
}
