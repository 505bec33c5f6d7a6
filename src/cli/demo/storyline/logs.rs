//! What the scripts of the release print.

/// A tag was pushed.
pub(super) fn tagged(service: &str, version: &str) -> String {
    let repository = repository(service);
    format!(
        "{}release-tag.sh] [INFO] Tagging {repository} with {version}\n\
         To https://github.com/{repository}\n * [new tag]         {version} -> {version}\n\
         release-tag.sh] [INFO] Successfully tagged {repository} with {version} tag\n",
        preparing(service, version)
    )
}

/// The push of a tag was refused.
pub(super) fn not_tagged(service: &str, version: &str) -> String {
    let repository = repository(service);
    format!(
        "{}release-tag.sh] [INFO] Tagging {repository} with {version}\n\
         remote: Permission to {repository}.git denied to ack-bot.\n\
         fatal: unable to access 'https://github.com/{repository}.git/': The requested URL returned error: 403\n\
         release-tag.sh] [ERROR] Failed to push the tag {version}. Exiting ...\n",
        preparing(service, version)
    )
}

/// The chart of one controller is missing, so nobody's is updated.
pub(super) fn not_charted(service: &str, version: &str, missing: &str, at: &str) -> String {
    let at = at.trim_start_matches('v');
    format!(
        "{}update-chart.sh] [INFO] Collecting the charts of all controllers\n\
         Pulled: public.ecr.aws/aws-controllers-k8s/eks-chart:1.4.0\n\
         Error: public.ecr.aws/aws-controllers-k8s/{missing}-chart:{at}: not found\n\
         update-chart.sh] [ERROR] Failed to pull the chart of {missing}. Exiting ...\n",
        preparing(service, version)
    )
}

/// The image was built and could not be pushed.
pub(super) fn not_published(service: &str, version: &str) -> String {
    format!(
        "{}release-controller.sh] [INFO] Pushing {service}-controller:{version}\n\
         denied: Your authorization token has expired. Reauthenticate and try again.\n\
         release-controller.sh] [ERROR] Failed to push the image. Exiting ...\n",
        preparing(service, version)
    )
}

fn repository(service: &str) -> String {
    format!("aws-controllers-k8s/{service}-controller")
}

fn preparing(service: &str, version: &str) -> String {
    let mut text = format!("+ cd cd/scripts\n+ export SERVICE={service} VERSION={version}\n");
    let cloning = (1..=40).map(|part| format!("remote: Counting objects: {part}/40, done."));
    text.push_str(&cloning.collect::<Vec<_>>().join("\n"));
    text.push('\n');
    text
}
