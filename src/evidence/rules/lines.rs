//! Lines that are no reason themselves: noise, tries, and the first lines of steps. Each a list of patterns, in
//! any case unless they say otherwise.

/// Commands that are echoed, warnings, and good ends: a rule that matches such a line is mistaken.
pub(in crate::evidence::rules) const NOISE: &[&str] = &[
    r"^\s*(?:\+|\$) ",
    r"level=(?:info|debug|trace|warn(?:ing)?)\b",
    r"\x22(?:level|severity)\x22: ?\x22(?:info|debug|trace|warn(?:ing)?)\x22",
    r"^\s*\[?(?:INFO|DEBUG|TRACE|NOTE|HINT|WARN|WARNING)\b",
    r"^(?:npm|pip|cargo|npm ERR!)? ?(?:warn|warning|notice)\b",
    r"\bWARN(?:ING)?:",
    r"\[WARN(?:ING)?\]",
    r"^[IW]\d{4} \d\d:",
    r"\bdeprecat(?:ed|ion)\b",
    r"\b(?:0|no|without) (?:errors?|failures?|failed)\b",
    r"\b0 fail",
    r"errors?(?:_count)?[=:] ?0\b",
    r"fail(?:ed|ures?)?[=:] ?0\b",
    r"\bignor(?:ing|ed)\b",
    r"\(ignored\)",
    r"--(?:ignore|on)-?\w*error",
    r"\|\| true",
    r"errors\.New",
    r"fmt\.Errorf",
    r"if err != nil",
    r"\bset -e",
    r"--fail(?:-fast)?\b",
    r"^ok\s+\S+\s",
    r"--- (?:PASS|SKIP): ",
    r"^=== (?:RUN|CONT|PAUSE|NAME) ",
    r"No names found, cannot describe",
    r"^HEAD is now at ",
    r"^\[\S+ [0-9a-f]{7,}\] ",
    r"^Initialized empty ",
    r"^(?:Switched|Reset|Merge:|commit [0-9a-f]{40})\b",
    r"^(?:test \S+|\S+) \.\.\. ok$",
    r"\bPASS(?:ED)?\b",
    r"\.\.\. ok$",
    r"\bnon-fatal\b",
    r"\bnot fatal\b",
    r"\bharmless\b",
    r"\bas expected\b",
    r"\bexpected (?:error|failure)\b",
    r"\bcontinuing(?: anyway)?\b",
    r"\bskipp(?:ing|ed)\b",
    r"\bfall(?:ing)? ?back\b",
    r"\bgoing on\b",
    r"\bproceeding\b",
    r"\btolerated\b",
    r"\bbest[- ]effort\b",
    r"\busing (?:the )?default\b",
    r"\boptional\b",
    r"^\s*#(?:[^0-9]|$)",
    r"^\s*//",
    r"\bunchanged$",
    r"^(?:Get|Hit|Ign):\d+ ",
    r"^(?:Setting up|Unpacking|Preparing to unpack|Selecting previously) ",
    r"^(?:create|delete) mode \d+",
    r"^\s+\S+ +\| +\d+ ",
    r"^(?:Downloading|Downloaded|Collecting|Installing|Fetching|Copying|Adding|added|adding|copying|creating|inflating:?) ",
    r"^go: downloading ",
    r"^\s*Compiling \S*error",
    r"^\s*(?:echo|printf) ",
    r"\bpassed\b",
    r"\bsucceeded\b",
    r"\b(?:built|tagged|pushed|installed|completed|finished|created|configured|logged in|uploaded|deployed) successfully",
    r"^\W*successfully",
    r"\b0 \S+ failed",
    // Removing what is not there.
    r"^Error(?: response from daemon)?: No such (?:container|image|network|volume)s?\b",
    r"^error: context \x22[^\x22]*\x22 does not exist$",
];

/// What failed before this line is tried again. The two numbers, where there are, are this try and the last
/// one.
pub(in crate::evidence::rules) const RETRY: &[&str] = &[
    r"\bretrying\b",
    r"\bwill (?:be )?retr(?:y|ied)\b",
    r"\bretry (?:in|after|attempt|#?\d+)",
    r"\btrying again\b",
    r"\bwill try again",
    r"\bbacking off\b",
    r"\battempt #?(\d+)(?:/| of |, max )(\d+)",
    r"\bsleeping (?:for )?\d+",
    r"\bretr(?:y|ies) left\b",
    r"\bnot (?:ready|available|published) yet\b",
    r"\bstill waiting\b",
];

/// The first line of a step: an echoed command, a step of an image build, a test, a headline.
pub(in crate::evidence::rules) const SEGMENT: &[&str] = &[
    r"(?-i:^\++ \S)",
    r"(?-i:^\$ \S)",
    r"(?-i:^STEP \d+(?:/\d+)?:? )",
    r"(?-i:^Step \d+/\d+ : )",
    r"(?-i:^#\d+ \[[^\]]+\] )",
    r"(?-i:^INFO\[\d+\] (?:RUN|COPY|ADD|FROM|USER|WORKDIR|ENV|Unpacking|Executing|Building|Running))",
    r"(?-i:^=== RUN )",
    r"(?-i:^(?:==+>|>>>+|###+|\*\*\*+|={4,}>?) ?\w)",
    r"(?-i:^> \S+ \S+$)",
    r"(?-i:^## \S)",
    r"(?-i:^Run \S+$)",
    r"(?-i:^make(?:\[\d+\])?: Entering directory)",
    r"(?-i:^go (?:build|test|vet|run|generate) )",
    r"(?-i:^(?:docker|buildah|helm|kubectl|git|aws|cargo|gh) [a-z-]+ )",
    r"(?-i:^npm (?:run|ci|install|publish|test|pack|version|exec)\b)",
    r"(?-i:^> \S+@\S+ \S+$)",
];

/// The first line of a step that only tidies up: what fails there has mostly failed before.
pub(in crate::evidence::rules) const CLEANUP: &[&str] = &[
    r"^\++ (?:\S*/)?(?:rm|rmdir|umount|kill|pkill|docker (?:rm|rmi|stop|kill|logout|network rm|volume rm|system prune)|buildah (?:rm|rmi|logout|umount)|kubectl (?:-\S+ (?:[\w./-]+ )?)*?(?:delete|describe|logs|top|config unset|get events)|docker (?:ps|logs|inspect)|df|free|ps|dmesg|journalctl|tail|kind delete|helm (?:uninstall|delete|registry logout)|git (?:worktree remove|branch -D|checkout -)|popd|trap|set \+e|(?:[\w-]*_)?(?:clean-?_?up|tear-?_?down|on_exit|at_exit|_?finish|dump|collect|gather)(?:_\w+)?)\b",
    r"\[CLEANUP\]",
    r"^(?:[\w.\]\[ :-]{0,30})?(?:cleaning up|tearing down|running (?:cleanup|exit) (?:trap|handler|function)|==+ ?clean-?up)\b",
];

/// Tidying up that lasts to the end, whatever steps it has.
pub(in crate::evidence::rules) const LAST_CLEANUP: &[&str] = &[
    r"^\++ (?:[\w-]*_)?(?:clean-?_?up|tear-?_?down|on_exit|at_exit|dump|collect|gather)(?:_\w+)?\b",
    r"\[CLEANUP\]",
];
