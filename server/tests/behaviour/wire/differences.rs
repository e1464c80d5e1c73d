//! Where our codes differ from the real server's, and why (decision 025).

use std::collections::BTreeMap;

use tonic::Code;

pub struct Difference {
    pub ours: Code,
    pub reason: &'static str,
}

/// What ours answers, why, and to which rows.
const LIST: &[(Code, &str, &[&str])] = &[
    (
        Code::InvalidArgument,
        "an enum value that the API does not have: to accept it is to store what means nothing",
        &[
            "start: reuse policy 99",
            "start: reuse policy -1",
            "start: conflict policy 99",
            "start: task queue kind 99",
            "start: signal with start with conflict policy 99",
            "query: reject condition 99",
            "history: filter type 99",
            "poll: task queue kind 99",
            "workflow task: failed for cause 9999",
        ],
    ),
    (
        Code::InvalidArgument,
        "a name of more than 1000 bytes is told so, and neither stored nor looked for",
        &[
            "start: identity too long",
            "signal: workflow id too long",
            "query: type too long",
            "shut down: sticky queue too long",
            "by id: activity id too long",
        ],
    ),
    (
        Code::InvalidArgument,
        "an id that is no UUID is told so: there can be no such run",
        &["cancel: first execution run id no UUID"],
    ),
    (
        Code::InvalidArgument,
        "a coefficient that is no number, or infinite: no interval can be computed with it",
        &["start: retry with no number as coefficient", "start: retry with an infinite coefficient"],
    ),
    (
        Code::InvalidArgument,
        "refused for its field, which says more: requests may have 16 MiB here, because completions may",
        &["start: input of 5 MB"],
    ),
    (
        Code::InvalidArgument,
        "a header is stored with the run as an input is, and has the same limit",
        &["start: header of 2 MiB"],
    ),
    (
        Code::Ok,
        "attributes cannot be registered yet: one that is unknown is stored and shown, and no filter knows it",
        &[
            "start: search attribute unknown",
            "start: search attribute of the wrong type",
            "continue: unknown search attribute",
            "search attributes: unknown",
            "child: unknown search attribute",
        ],
    ),
    (
        Code::InvalidArgument,
        "tokens are sealed (decision 023): what was changed or belongs elsewhere is none, whatever it says",
        &[
            "workflow task: token tampered with",
            "workflow task: token of an activity",
            "workflow task: token of a query",
            "workflow task: from no namespace",
            "activity: token tampered with",
            "activity: token of a workflow task",
            "query: token tampered with",
            "query: token of a workflow task",
            "restart: activity, token tampered with",
        ],
    ),
    (
        Code::NotFound,
        "nobody waits for the answer any more, nor will after another try, which UNAVAILABLE asks for",
        &["restart: query"],
    ),
    (
        Code::InvalidArgument,
        "a page token that is none is the caller's mistake: UNKNOWN is sent again, and OK hides it",
        &[
            "list: token that is none",
            "list: open ones, token that is none",
            "namespace: list with a token that is none",
        ],
    ),
    (
        Code::InvalidArgument,
        "bytes that are no message stay so: INTERNAL is sent again",
        &["bytes: cut off", "bytes: no UTF-8", "bytes: 5000 groups without an end"],
    ),
    (
        Code::Ok,
        "an interval too long means the longest, as all other times do in both servers",
        &["start: retry with an interval that overflows"],
    ),
    (
        Code::Ok,
        "a text that no id can have matches none: UNAVAILABLE is sent again",
        &["list: NUL in a string"],
    ),
    (Code::InvalidArgument, "a list has no groups, and says so", &["list: GROUP BY"]),
    (Code::InvalidArgument, "a list has a lower bound on its terms (decision 016)", &["list: 200 terms"]),
    (
        Code::Ok,
        "a failure of whatever kind ends the attempt: a refusal leaves it running until its time-out",
        &["activity: fails with a failure of no kind"],
    ),
    (
        Code::Ok,
        "without a queue the run's own is meant, as it is for its successor",
        &["activity: no task queue", "activity: task queue empty"],
    ),
    (
        Code::Ok,
        "the workflow hears of it as of an unknown workflow, by an event",
        &["signal other: unknown namespace", "child: unknown namespace"],
    ),
    (
        Code::InvalidArgument,
        "a policy that does not exist is refused, and not taken for another",
        &["child: unknown parent close policy", "child: unknown reuse policy"],
    ),
    (
        Code::InvalidArgument,
        "a command without attributes is the worker's mistake, for every type",
        &["child: bare"],
    ),
    (
        Code::Unimplemented,
        "cron schedules are not offered yet",
        &["start: cron schedule malformed", "start: cron schedule"],
    ),
    (
        Code::Ok,
        "causes beyond 64 are cut, with a note (decision 022): the call counts",
        &[
            "deep: activity fails with 20000 causes",
            "deep: activity fails by id with 20000 causes",
            "deep: task fails with 20000 causes",
            "deep: start with 20000 causes",
            "deep: query answered with 20000 causes",
            "deep: workflow fails with 20000 causes",
            "deep: marker with 20000 causes",
            "deep: continue with 20000 causes",
            "deep: query result with 20000 causes",
        ],
    ),
];

pub fn by_name() -> BTreeMap<&'static str, Difference> {
    let mut all = BTreeMap::new();
    for (ours, reason, names) in LIST {
        for name in *names {
            let twice = all.insert(*name, Difference { ours: *ours, reason });
            assert!(twice.is_none(), "{name:?} stands twice in the list");
        }
    }
    all
}
