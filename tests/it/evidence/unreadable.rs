//! Rows that this version cannot make out, as after a way back to an older one.

use rusqlite::Connection;

use super::{MINUTE, World, log};
use crate::inside::failed;

#[tokio::test]
async fn a_run_that_cannot_be_made_out_holds_up_no_other_log() {
    let mut world = World::new("base: 2s").await;
    let now = world.inside.now();
    let jobs = ["s3", "sqs"].map(|service| failed(service, "publish", now));
    for job in &jobs {
        world.put_log(job, &log("newManager"));
    }
    world.inside.accept(&jobs).await;
    world.inside.decide().await;
    let store = Connection::open(world.inside.home().join("state.db")).unwrap();
    let changed = store.execute(
        "UPDATE reads SET body = '{\"run\": 7}' WHERE run = $1",
        [jobs[0].name()],
    );
    assert_eq!(changed.unwrap(), 1);
    world.inside.pass(MINUTE).await;
    assert!(world.headline(&jobs[1]).await.is_ok());
    assert!(world.headline(&jobs[0]).await.is_err());
    let left: u64 = store
        .query_row("SELECT count(*) FROM reads", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 1, "it stays for a version that can read it");
    let metrics = world.inside.shared().metrics.text();
    assert!(
        metrics.contains("artifact_reads_total{result=\"set-aside\"} 1"),
        "{metrics}"
    );
}
