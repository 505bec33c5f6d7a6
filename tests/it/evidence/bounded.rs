//! A stream of errors that are each new, and what is known before and after it.

use std::collections::BTreeMap;

use prow_notifier::{
    domain::evidence::{Finding, Signature},
    evidence::signature::NEW_A_DAY,
    standin::prow::Job,
};

use super::{MINUTE, World, log};
use crate::inside::failed;

/// Letters that differ for each number.
fn word(number: usize) -> String {
    let letter = |digit: usize| char::from(b'a' + u8::try_from(digit % 26).unwrap());
    format!("new{}{}", letter(number / 26), letter(number))
}

impl World {
    /// Runs of as many services, each broken by a word of its own.
    async fn break_by(&mut self, service: &str, words: &[String]) -> Vec<Job> {
        let now = self.inside.now();
        let jobs = words.iter().enumerate();
        let jobs: Vec<Job> = jobs
            .map(|(number, word)| {
                let job = failed(&format!("{service}{number}"), "publish", now);
                self.put_log(&job, &log(word));
                job
            })
            .collect();
        self.inside.accept(&jobs).await;
        self.inside.pass(MINUTE).await;
        jobs
    }

    async fn signature(&self, job: &Job) -> Signature {
        match self.trail(job).await.evidence.map(|read| read.finding) {
            Some(Finding::Found(evidence)) => evidence.signature.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_endless_stream_of_new_errors_makes_few_signatures_and_hides_no_known_one() {
    const MORE: usize = 20;
    let mut world = World::new("base: 10s").await;
    let words: Vec<String> = (0..NEW_A_DAY + MORE).map(word).collect();
    let jobs = world.break_by("s", &words).await;
    let mut counts: BTreeMap<Signature, usize> = BTreeMap::new();
    for job in &jobs {
        *counts.entry(world.signature(job).await).or_default() += 1;
    }
    assert_eq!(counts.len(), NEW_A_DAY + 1);
    assert_eq!(counts.values().max(), Some(&MORE));
    let overflowed = |world: &World| world.inside.shared().metrics.signatures_overflowed.get();
    assert_eq!(overflowed(&world), MORE as u64);

    // The day's memory survives a restart: what was known keeps its signature, what is new shares one.
    let alone = counts.iter().find(|(_, count)| **count == 1);
    let mut known = None;
    for (job, word) in jobs.iter().zip(&words) {
        if Some(&world.signature(job).await) == alone.map(|(signature, _)| signature) {
            known = Some(word.clone());
        }
    }
    world.inside.restart().await;
    let again = world
        .break_by("t", &[known.unwrap(), "newest".to_owned()])
        .await;
    assert_eq!(
        Some(&world.signature(&again[0]).await),
        alone.map(|(signature, _)| signature)
    );
    assert_eq!(counts.get(&world.signature(&again[1]).await), Some(&MORE));
    assert_eq!(overflowed(&world), 1);
}
