use super::*;
use std::sync::mpsc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

type Groups = mpsc::Receiver<Vec<u32>>;

/// Strands whose appender reports each group, and blocks on the first one until the gate is dropped.
fn strands(threads: usize) -> (Strands<u32>, Groups, mpsc::Sender<()>) {
    let (groups, seen) = mpsc::channel();
    let (gate, closed) = mpsc::channel::<()>();
    let (groups, closed) = (Mutex::new(groups), Mutex::new(closed));
    let appender = move |_: &str, group: Vec<u32>| {
        groups.lock().expect("groups").send(group).expect("a receiver");
        let _ = closed.lock().expect("gate").recv_timeout(PATIENCE);
    };
    (Strands::new(threads, Arc::new(appender)).expect("threads"), seen, gate)
}

#[test]
fn waiting_appends_go_together_and_nothing_overtakes() {
    let (strands, groups, gate) = strands(3);
    let (done, order) = mpsc::channel();
    strands.append("a", 1);
    assert_eq!(groups.recv_timeout(PATIENCE).expect("first group"), [1]);
    for append in 2..=4 {
        strands.append("a", append);
    }
    let sender = done.clone();
    strands.read("a", Box::new(move || sender.send("read").expect("send")));
    strands.append("a", 5);
    let sender = done.clone();
    strands.read("b", Box::new(move || sender.send("other object").expect("send")));
    assert_eq!(order.recv_timeout(PATIENCE).expect("other object"), "other object");
    assert!(order.try_recv().is_err(), "the read waits for the appends before it");
    drop(gate);
    assert_eq!(groups.recv_timeout(PATIENCE).expect("second group"), [2, 3, 4]);
    assert_eq!(order.recv_timeout(PATIENCE).expect("read"), "read");
    assert_eq!(groups.recv_timeout(PATIENCE).expect("third group"), [5]);
}

#[test]
fn reads_run_side_by_side_and_a_write_waits_for_them() {
    let (strands, _groups, _gate) = strands(3);
    let barrier = Arc::new(std::sync::Barrier::new(2));
    let (done, order) = mpsc::channel();
    for _ in 0..2 {
        let (barrier, done) = (barrier.clone(), done.clone());
        strands.read(
            "a",
            Box::new(move || {
                // Passes only when both reads run.
                barrier.wait();
                done.send("read").expect("send");
            }),
        );
    }
    strands.write("a", Box::new(move || done.send("write").expect("send")));
    let seen: Vec<_> = (0..3).map(|_| order.recv_timeout(PATIENCE).expect("done")).collect();
    assert_eq!(seen, ["read", "read", "write"]);
}

#[test]
fn a_panic_does_not_stop_the_object() {
    let (strands, _groups, _gate) = strands(1);
    let (done, order) = mpsc::channel();
    strands.write("a", Box::new(|| panic!("on purpose")));
    strands.write("a", Box::new(move || done.send(()).expect("send")));
    order.recv_timeout(PATIENCE).expect("the next one runs");
}

#[test]
fn dropping_does_the_rest_first() {
    let (strands, _groups, _gate) = strands(2);
    let (done, order) = mpsc::channel();
    for number in 0..50 {
        let done = done.clone();
        strands.write(if number % 2 == 0 { "a" } else { "b" }, Box::new(move || done.send(number).expect("send")));
    }
    drop(strands);
    assert_eq!(order.try_iter().count(), 50);
}
