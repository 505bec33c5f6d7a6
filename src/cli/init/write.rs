//! A guess as a configuration file with comments.

use super::guess::{Guess, Pattern, Rule, Service};

const HEAD: &str = "\
# A first configuration, guessed from what deck lists. Lines that end in `# ?` are guesses: look at them, then
# try the whole on what has happened:
#
#   prow-notifier --config FILE preview --deck URL --since 24h
";

const RECEIVERS: &str = "
# Who is told. The file holds the address of a Slack incoming webhook and nothing else.
receivers:
  - name: platform
    slack: { webhook_url_file: slack-webhook }  # ?
default_receiver: platform

# To tell each service in its own channel, put one file per service into a folder and add:
#
#   - name: by-service
#     slack: { webhook_url_dir: /etc/prow-notifier/secrets/slack/ }
#
# to the receivers, and then:
#
#   routes:
#     - match: ['service!=\"\"']
#       receiver: by-service
";

/// The whole file.
pub(super) fn config(deck: &str, guess: &Guess) -> String {
    let mut text = HEAD.to_owned();
    let types = guess.types.join(", ");
    let deck = deck.replace('\'', "''");
    let settings = format!(
        "
store: {{ url: \"sqlite://state.db\" }}  # ?
sources:
  deck: {{ url: '{deck}' }}

watch:
  # Pull requests show their checks themselves.
  types: [{types}]

# What a job is: the first rule that matches wins. Critical is what keeps a version from its users; here that
# is everything that was seen on a tag.
classify:
"
    );
    text.push_str(&settings);
    for rule in &guess.rules {
        text.push_str(&one(rule));
    }
    text.push_str(RECEIVERS);
    text
}

fn one(rule: &Rule) -> String {
    let mut text = String::new();
    let mut matchers = vec![format!("type=\"{}\"", rule.kind)];
    if rule.kind != "periodic" {
        matchers.push(format!("org=\"{}\"", rule.org));
    }
    matchers.extend(matcher("repo", &rule.repo));
    matchers.extend(matcher("job", &rule.job));
    let matchers: Vec<String> = matchers
        .iter()
        .map(|matcher| format!("'{matcher}'"))
        .collect();
    let service = match rule.service {
        Service::Stem | Service::Repository => "service: \"$service\", ",
        Service::None => "",
    };
    let severity = if rule.tagged {
        "critical"
    } else {
        "non-critical"
    };
    let sure = rule.service == Service::Stem && rule.tagged;
    if rule.service != Service::None {
        text.extend(["  # ", &rule.seen(), "\n"]);
    }
    let mark = if sure { "" } else { "  # ?" };
    let (name, stage) = (&rule.name, &rule.stage);
    let matchers = matchers.join(", ");
    text.extend([
        format!("  - name: \"{name}\"\n    match: [{matchers}]\n"),
        format!("    set: {{ {service}stage: \"{stage}\", severity: {severity} }}{mark}\n"),
    ]);
    text
}

fn matcher(label: &str, pattern: &Pattern) -> Option<String> {
    match pattern {
        Pattern::Any => None,
        Pattern::Exactly(name) => Some(format!("{label}=\"{name}\"")),
        Pattern::Like(regex) => Some(format!("{label}=~\"{regex}\"")),
    }
}
