//! What lists promise, on each store; and that both stores understand a filter alike, whatever it is.

use std::{collections::BTreeSet, sync::mpsc};

use durably_proto::temporal::api::common::v1::Payload;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

/// Texts that would do harm if they were ever taken for more than values.
const TEXTS: [&str; 14] = [
    "",
    "a",
    "A",
    "order-1",
    "order-%",
    "o_der-1",
    "ü",
    "üb",
    "'",
    "''; DROP TABLE runs; --",
    "\" OR 1=1 --",
    "?1",
    "\0x",
    "NULL",
];

fn attributes(fields: &[(&str, String)]) -> SearchAttributes {
    let payload = |json: &String| Payload { data: json.clone().into(), ..Payload::default() };
    SearchAttributes {
        indexed_fields: fields.iter().map(|(name, json)| ((*name).to_owned(), payload(json))).collect(),
    }
}

fn text(random: &mut SmallRng) -> String {
    TEXTS[random.random_range(0..TEXTS.len())].to_owned()
}

fn random_run(random: &mut SmallRng, seq: i64) -> RunWrite {
    let mut new = new_row(&text(random), &format!("run-{seq}"), random.random_range(0..20));
    new.workflow_type = text(random);
    new.task_queue = text(random);
    new.execution_time = new.start_time + random.random_range(0..3);
    let closed = random.random_bool(0.5);
    let all = [
        ("BuildIds", serde_json::json!([text(random), text(random)]).to_string()),
        ("TemporalScheduledById", serde_json::json!(text(random)).to_string()),
        ("TemporalScheduledStartTime", "\"1970-01-01T00:00:00.000000005Z\"".to_owned()),
        ("TemporalSchedulePaused", random.random_bool(0.5).to_string()),
        ("Unknown", "7".to_owned()),
        ("TemporalChangeVersion", "{not json".to_owned()),
    ];
    let chosen: Vec<_> = all.into_iter().filter(|_| random.random_bool(0.5)).collect();
    let change = RunCommit {
        status: if closed { random.random_range(2..8) } else { 1 },
        close_time: closed.then(|| random.random_range(0..30)),
        history_length: random.random_range(0..5),
        history_bytes: random.random_range(0..5),
        transitions: random.random_range(0..5),
        attributes: Some((None, random.random_bool(0.8).then(|| attributes(&chosen)))),
        ..RunCommit::default()
    };
    RunWrite { seq, new: Some(new), change }
}

fn field(random: &mut SmallRng) -> Field {
    Field::ALL[random.random_range(0..Field::ALL.len())].clone()
}

fn value(random: &mut SmallRng, kind: Kind) -> Value {
    match kind {
        Kind::Keyword | Kind::KeywordList => Value::Text(text(random)),
        Kind::Int | Kind::Time => Value::Int(random.random_range(-1..30)),
        Kind::Status => Value::Int(random.random_range(0..9)),
        Kind::Double => Value::Double(random.random_range(-1.0..5.0)),
        Kind::Bool => Value::Bool(random.random_bool(0.5)),
    }
}

fn filter(random: &mut SmallRng, depth: u32) -> Filter {
    let parts = |random: &mut SmallRng| -> Vec<Filter> {
        (0..random.random_range(0..4)).map(|_| filter(random, depth - 1)).collect()
    };
    match random.random_range(0..if depth == 0 { 4 } else { 7 }) {
        0 => Filter::All,
        1 => {
            let field = field(random);
            let is_text = matches!(field.kind, Kind::Keyword | Kind::KeywordList);
            let op = Op::ALL[random.random_range(0..if is_text { 7 } else { 6 })];
            let value = value(random, field.kind);
            Filter::Compare(field, op, value)
        }
        2 => {
            let field = field(random);
            let values = (0..random.random_range(0..4)).map(|_| value(random, field.kind)).collect();
            Filter::In(field, values)
        }
        3 => Filter::IsNull(field(random)),
        4 => Filter::And(parts(random)),
        5 => Filter::Or(parts(random)),
        _ => Filter::Not(Box::new(filter(random, depth - 1))),
    }
}

fn all_pages(store: &dyn Store, filter: &Filter, order: Option<&Order>, limit: usize) -> Vec<i64> {
    let (mut seqs, mut after) = (Vec::new(), None);
    loop {
        let listing = Listing { namespace_id: NAMESPACE, filter, order, after: after.as_ref() };
        let page = store.visibility().list(&listing, limit, soon()).unwrap();
        assert!(page.rows.len() <= limit);
        seqs.extend(page.rows.iter().map(|row| row.seq));
        after = page.next;
        if after.is_none() {
            return seqs;
        }
    }
}

#[test]
fn both_stores_understand_any_filter_alike() {
    let directory = tempfile::tempdir().unwrap();
    let file = SqliteStore::open(&directory.path().join("state.db")).unwrap();
    let memory = MemoryStore::default();
    let random = &mut SmallRng::seed_from_u64(7);
    let runs: Vec<_> = (1..=60).map(|seq| random_run(random, seq)).collect();
    for store in [&file as &dyn Store, &memory] {
        let lease = seize(store);
        store.commit(&commit(lease, runs.clone())).unwrap();
    }
    let (file, memory): (&dyn Store, &dyn Store) = (&file, &memory);
    let mut sizes = BTreeSet::new();
    for round in 0..500 {
        let filter = filter(random, 3);
        let order = Order { field: field(random), descending: random.random_bool(0.5) };
        let expected = all_pages(memory, &filter, None, 100);
        sizes.insert(expected.len());
        assert_eq!(all_pages(file, &filter, None, 7), expected, "round {round}: {filter:?}");
        assert_eq!(
            file.visibility().count(NAMESPACE, &filter, soon()).unwrap(),
            expected.len() as i64,
            "round {round}: {filter:?}"
        );
        let sorted = all_pages(memory, &filter, Some(&order), 100);
        assert_eq!(sorted.iter().collect::<BTreeSet<_>>(), expected.iter().collect::<BTreeSet<_>>());
        assert_eq!(all_pages(memory, &filter, Some(&order), 5), sorted, "{round}: {order:?} {filter:?}");
        assert_eq!(all_pages(file, &filter, Some(&order), 5), sorted, "{round}: {order:?} {filter:?}");
        let groups = |store: &dyn Store| {
            store.visibility().count_by(NAMESPACE, &filter, &order.field, soon()).unwrap()
        };
        assert_eq!(groups(file), groups(memory), "{round}: {order:?} {filter:?}");
        assert_eq!(groups(file).iter().map(|(_, count)| count).sum::<i64>(), expected.len() as i64);
    }
    assert!(sizes.len() > 30, "the filters are too much alike: {sizes:?}");
}

#[test]
fn attributes_are_filtered_by_their_type() {
    on_each_store(|store| {
        let lease = seize(store);
        let mut run = started(1, "a", "r1");
        let set = attributes(&[
            ("BuildIds", "[\"unversioned\", \"v1\"]".to_owned()),
            ("TemporalScheduledById", "\"nightly\"".to_owned()),
            ("TemporalSchedulePaused", "true".to_owned()),
        ]);
        run.change.attributes = Some((None, Some(set)));
        store.commit(&commit(lease, vec![run, started(2, "b", "r2")])).unwrap();
        let list = |name: &str, op, value| {
            let filter = Filter::Compare(Field::named(name).unwrap(), op, value);
            page(store, &filter, None, 10).rows.iter().map(|row| row.seq).collect::<Vec<_>>()
        };
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(list("BuildIds", Op::Equal, text("v1")), [1]);
        assert_eq!(list("BuildIds", Op::StartsWith, text("un")), [1]);
        assert_eq!(list("BuildIds", Op::NotEqual, text("v1")), [0; 0]);
        assert_eq!(list("TemporalScheduledById", Op::Equal, text("nightly")), [1]);
        assert_eq!(list("TemporalSchedulePaused", Op::Equal, Value::Bool(true)), [1]);
        assert_eq!(list("TemporalSchedulePaused", Op::Equal, Value::Bool(false)), [0; 0]);
        let own = Field::attribute("Customer".into(), Kind::Keyword);
        assert_eq!(page(store, &Filter::IsNull(own), None, 10).rows.len(), 2);
    });
}

/// The joint that matters most: nothing that a listing holds is needed to start or to read a run.
#[test]
fn a_listing_that_is_held_open_delays_nobody() {
    on_each_store(|store| {
        let lease = seize(store);
        let runs = (1..=200).map(|seq| started(seq, &format!("w{seq}"), "r")).collect();
        store.commit(&commit(lease, runs)).unwrap();
        let listing = Listing { namespace_id: NAMESPACE, filter: &Filter::All, order: None, after: None };
        let mut rows = 0;
        let held = store.visibility().scan(&listing, soon(), &mut |_| {
            rows += 1;
            if rows == 10 {
                std::thread::scope(|scope| {
                    let (done, finished) = mpsc::channel();
                    scope.spawn(move || {
                        let new = 201 + i64::from(rows);
                        store.commit(&commit(lease, vec![started(new, "new", "r")])).unwrap();
                        store.commit(&commit(lease, vec![changed(1, RunCommit::default())])).unwrap();
                        assert_eq!(store.find(NAMESPACE, "new", None).unwrap(), Some(new));
                        assert!(store.run(new).unwrap().is_some());
                        assert_eq!(store.events(new, 1, 3).unwrap().len(), 1);
                        assert_eq!(store.closed_before(0, NAMESPACE, 1, 1).unwrap(), [0; 0]);
                        assert_eq!(open_runs(store).len(), 200);
                        done.send(()).unwrap();
                    });
                    finished.recv_timeout(Duration::from_mins(1)).expect("somebody waits for the listing");
                });
            }
            ControlFlow::Continue(())
        });
        held.unwrap();
        assert!(rows >= 200, "{rows}");
    });
}

#[test]
fn a_listing_ends_when_its_time_is_over() {
    on_each_store(|store| {
        let lease = seize(store);
        let runs = (1..=2_000).map(|seq| started(seq, &format!("w{seq}"), "r")).collect();
        store.commit(&commit(lease, runs)).unwrap();
        let none = Filter::Compare(Field::WORKFLOW_ID, Op::StartsWith, Value::Text("x".into()));
        let listing = Listing { namespace_id: NAMESPACE, filter: &none, order: None, after: None };
        let over = Instant::now();
        let visibility = store.visibility();
        assert!(matches!(visibility.list(&listing, 1, over), Err(StoreError::TooSlow)));
        assert!(matches!(visibility.count(NAMESPACE, &none, over), Err(StoreError::TooSlow)));
        // And whoever comes next has all the time it needs.
        assert_eq!(visibility.count(NAMESPACE, &none, soon()).unwrap(), 0);
    });
}
