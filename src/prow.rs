//! Prow's formats at the border: ProwJobs, deck, webhooks.
