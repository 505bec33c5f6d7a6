//! Whatever a ProwJob says of its logs, the place found is inside a bucket, and reading the JSON never panics.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use prow_notifier::{
    domain::{location::Location, observation::Source},
    prow::{
        parse,
        storage::{Layout, Place, place},
    },
};

fuzz_target!(|json: &[u8]| {
    let Ok(run) = parse::observation(json, Source::Webhook, Timestamp::UNIX_EPOCH) else {
        return;
    };
    let fallback = Location::parse("s3://fallback-logs/prefix").map(Layout::explicit);
    for fallback in [None, fallback.as_ref().ok()] {
        if let Place::Stored(stored) = place(&run, fallback) {
            let folder = stored.folder;
            assert_eq!(Location::parse(&folder.to_string()).as_ref(), Ok(&folder));
            for part in folder.path.split('/') {
                assert!(!matches!(part, "." | ".."));
                assert!(!part.contains(['%', '\\', '\0', '?', '#']));
            }
            assert!(folder.path.len() <= 1024);
        }
    }
});
