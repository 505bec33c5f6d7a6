//! What a ProwJob says of its logs.

use super::raw::{Decoration, Maybe, PodSpec, Text};
use crate::domain::observation::Artifacts;

/// Takes over the fields that tell where logs are.
///
/// Deck can leave out decoration and pod spec, and then puts containers without an image in its place; only
/// where a real pod spec stands does a missing decoration mean that there is none.
pub(super) fn read(
    namespace: Text<'_>,
    pod_spec: Maybe<PodSpec<'_>>,
    decoration: Maybe<Decoration<'_>>,
) -> Artifacts {
    let containers = pod_spec.0.unwrap_or_default().containers.0;
    let is_whole = containers.iter().any(|one| one.image.get().is_some());
    let decorated = match &decoration.0 {
        Some(_) => Some(true),
        None if is_whole => Some(false),
        None => None,
    };
    let gcs = decoration.0.and_then(|config| config.gcs_configuration.0);
    let gcs = gcs.unwrap_or_default();
    Artifacts {
        bucket: gcs.bucket.owned(),
        path_prefix: gcs.path_prefix.owned(),
        path_strategy: gcs.path_strategy.owned(),
        default_org: gcs.default_org.owned(),
        default_repo: gcs.default_repo.owned(),
        job_url_prefix: gcs.job_url_prefix.owned(),
        local_output_dir: gcs.local_output_dir.owned(),
        folder: None,
        namespace: namespace.owned(),
        containers: containers
            .into_iter()
            .filter_map(|container| container.name.owned())
            .collect(),
        decorated,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{domain::observation::Source, prow::parse::observation};

    fn artifacts(spec: &str) -> Artifacts {
        let json = format!(
            r#"{{"metadata":{{"name":"a"}},"spec":{{"type":"postsubmit","job":"j",{spec}}}}}"#
        );
        observation(json.as_bytes(), Source::File, Timestamp::UNIX_EPOCH)
            .unwrap()
            .artifacts
    }

    #[test]
    fn a_decorated_run_says_where_its_logs_are() {
        let read = artifacts(
            r#""namespace":"test-pods",
            "pod_spec":{"containers":[{"name":"main","image":"i"},null,{"name":"aux","image":"i"}]},
            "decoration_config":{"gcs_configuration":{"bucket":"s3://logs","path_prefix":"ci",
              "path_strategy":"legacy","default_org":"o","default_repo":"r",
              "job_url_prefix":"https://prow/view/","local_output_dir":"/out","mediaTypes":{}}}"#,
        );
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            read,
            Artifacts {
                bucket: text("s3://logs"),
                path_prefix: text("ci"),
                path_strategy: text("legacy"),
                default_org: text("o"),
                default_repo: text("r"),
                job_url_prefix: text("https://prow/view/"),
                local_output_dir: text("/out"),
                namespace: text("test-pods"),
                containers: vec!["main".to_owned(), "aux".to_owned()],
                decorated: Some(true),
                folder: None,
            }
        );
    }

    #[test]
    fn only_a_whole_pod_spec_without_decoration_is_undecorated() {
        for (spec, decorated) in [
            (
                r#""pod_spec":{"containers":[{"name":"","image":"i"}]}"#,
                Some(false),
            ),
            (
                r#""pod_spec":{"containers":[{"name":"","resources":{}}]}"#,
                None,
            ),
            (r#""pod_spec":null"#, None),
            (
                r#""pod_spec":{"containers":"odd"},"decoration_config":7"#,
                None,
            ),
            (r#""decoration_config":{}"#, Some(true)),
        ] {
            assert_eq!(artifacts(spec).decorated, decorated, "{spec}");
        }
    }
}
