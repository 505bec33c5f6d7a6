//! The rules that every installation has. Patterns see the bytes of one cleaned line; heavier ones name a
//! cause more exactly. Each has a line that it finds, and one like it that it must not find, in the tests.

use crate::domain::evidence::CauseClass::{
    self, Auth, Compile, Configuration, Dependency, Disk, Git, ImageBuild, Infrastructure, Network,
    OutOfMemory, RateLimit, Registry, Test, Timeout, Unclassified,
};

/// Name, weight, class and pattern of a rule.
pub type Builtin = (&'static str, u32, CauseClass, &'static str);

/// In the order of the causes that hide others: what ends a process first, what only reports it last.
pub const BUILTIN: &[Builtin] = &[
    // What ends any process.
    (
        "prow-timeout",
        99,
        Timeout,
        r"Process did not finish before [0-9a-z.]+ timeout",
    ),
    (
        "disk-full",
        98,
        Disk,
        r"(?i)\bno space left on device\b|\bdisk quota exceeded\b|\bENOSPC\b|\bnot enough (?:free )?(?:disk )?space\b|\bexceed(?:s|ed)? (?:its |the )?(?:local |total )?ephemeral[ -](?:local )?storage|low on resource: ephemeral-storage|\bdisk (?:is )?full\b|\benough free space\b",
    ),
    (
        "out-of-memory",
        97,
        OutOfMemory,
        r"\bOOMKilled\b|\b(?i:out of memory)\b|\b(?i:cannot allocate memory)\b|heap out of memory|\bsignal: killed\b|signal: 9, SIGKILL|\bexit(?:ed)?(?: with)?(?: (?:status|code):?)? 137\b|^(?:\S+: )?line \d+: +\d+ Killed\b|^Killed$|Killed signal terminated program|\bMemoryError\b|java\.lang\.OutOfMemoryError|\bENOMEM\b|^make(?:\[\d+\])?: \*\*\* \[.*\] Killed$|[Mm]emory cgroup out of memory|signal 9 \[Killed\]|\bsignal SIGKILL\b|std::bad_alloc",
    ),
    (
        "test-timeout",
        97,
        Timeout,
        r"^panic: test timed out after |\*\*\* Test killed with quit: ran too long|Test Suite timed out|Exceeded timeout of \d+ ?ms for a test|Failed: Timeout >",
    ),
    // Rate limits before permissions: both may answer 403.
    (
        "rate-limit",
        97,
        RateLimit,
        r"(?i)\btoo ?many ?requests\b|\brate[ -]?limit(?:s|ed|ing)?\b.{0,30}\b(?:exceeded|reached|hit|exhausted)|\b(?:exceeded|reached|hit) (?:\w+ ){0,4}rate[ -]?limit|\bpull rate limit\b|\bsecondary rate limit|\b429\b.*\b(?:request|limit|error|status)|\b(?:status|code|http|error)(?: code)?:? ?429\b|\bRequestLimitExceeded|\bThrottl(?:ing|ed)(?:Exception)?\b.*(?:rate|request|call|exceed)|\((?:Throttling|\bThrottlingException|TooManyRequestsException|SlowDown)\)|ThrottlingException|\b(?:api|request|download) quota exceeded|quota exceeded for quota metric|\bwas submitted too quickly\b|\babuse detection\b|\brate exceeded\b",
    ),
    // Credentials and permissions.
    (
        "auth",
        95,
        Auth,
        r"(?i)\b(?:access|requested access to the resource is) denied\b|(?:^|[:\]] )(?:error response from daemon: )?(?:denied|unauthorized|unauthenticated|forbidden)(?::|$)|\bunauthorized: |\bdenied: |\b401 unauthorized\b|\b403 forbidden\b|\b(?:http|status|code|error|returned error)(?: code)?:? ?40[13]\b|\bHTTP/\d(?:\.\d)? 40[13]\b|\b(?:AccessDenied|AuthFailure|ExpiredToken|InvalidClientTokenId|UnrecognizedClientException|SignatureDoesNotMatch|InvalidAccessKeyId|InvalidIdentityToken)|token (?:included in the request )?(?:is|has) (?:expired|invalid|been revoked)|\bexpired token\b|token has expired|not authorized to perform|no basic auth credentials|unable to locate credentials|could not load credentials|no (?:valid )?credential(?:s| providers?)\b|token exchange failed|could not read (?:username|password)|authentication (?:failed|required|is required)|bad credentials|invalid username or (?:password|token)|incorrect username or password|permission denied \((?:publickey|password)|host key verification failed|resource not accessible by|write access to repository not granted|must have admin rights|you must be logged in|requires? authentication|(?:please run|try running|run).{0,20}\bgh auth login|login attempt .* failed|insufficient[ _](?:scope|permission|privilege)|failed to (?:authorize|authenticate)|failed to fetch (?:anonymous|oauth) token|sso session .* (?:expired|invalid)|is not authorized|permission to \S+ denied|\bPermission '[^']+' denied|refusing to allow an? .* (?:without|to create or update workflow)|unauthorized\b: |cannot perform an interactive login|webidentityerr|failed to refresh cached credentials|no EC2 IMDS role found|set the GH_TOKEN environment variable|missing required scopes?|gpg: signing failed|gpg failed to sign|^npm (?:ERR!|error) (?:40[13] |need auth |You must be logged in)",
    ),
    (
        "npm-message",
        94,
        Dependency,
        r"^npm (?:ERR!|error) (?:404 +(?:Not Found|'|  )|notarget No |ERESOLVE |Could not resolve dependency|EINTEGRITY|integrity |Invalid: lock file|`npm ci` can only)|^npm (?:ERR!|error) +Unsupported engine",
    ),
    (
        "npm-auth",
        80,
        Auth,
        r"^npm (?:ERR!|error) code (?:E401|E403|ENEEDAUTH|EOTP)",
    ),
    (
        "forbidden",
        96,
        Auth,
        r"^(?:error: )?(?:Error )?from server \((?:Forbidden|Unauthorized)\)|\bis forbidden: (?:User|service ?account)|\bcannot (?:get|list|create|patch|update|delete|watch) resource\b|User \S+ cannot ",
    ),
    // What is not there or must not change, at a registry.
    (
        "registry",
        93,
        Registry,
        r"(?i)\b(?:400 bad request|409 conflict)\b.*(?:upload|registry|pypi|/v2/|npmjs|crates)|\bmanifest (?:unknown|invalid|for \S+ not found)|\bname (?:unknown|invalid): |\bno such manifest\b|\bpull access denied\b|repository \S+ (?:not found|does not exist)(?:: | in the registry|$)|image tags? (?:'?\S+'? )?(?:already exists?|is immutable|cannot be overwritten)|tag (?:is immutable|invalid: )|ImageTagAlreadyExists|ImageAlreadyExists|ImageNotFoundException|RepositoryNotFoundException|LayersNotFoundException|TAG_INVALID|MANIFEST_(?:UNKNOWN|INVALID)|NAME_UNKNOWN|BLOB_UPLOAD_(?:UNKNOWN|INVALID)|\bblob (?:unknown|upload (?:unknown|invalid))|because the (?:repository|tag) is immutable|\breading manifest \S+ in \S+: |failed to resolve (?:source metadata|reference)\b.*(?:: not found|does not exist)|chart \S+ (?:version )?\S* ?(?:not found|already exists)|\S+: not found: manifest unknown|failed commit on ref|\bdigest (?:invalid|mismatch)|\bno matching manifest for\b|no image found in (?:manifest list|image index)|requested (?:image|tag)'?s? .*not found|cannot publish over (?:the )?previously published|crate (?:version )?\S+ is already uploaded|already exists on crates\.io|File already exists\. See https://pypi|(?:/v2/|/manifests/|/blobs/)\S*.*\b404\b|\b404\b.*\bmanifest",
    ),
    // What the builds depend on.
    (
        "go-modules",
        93,
        Dependency,
        r"^go: .*(?:unknown revision|invalid version|missing go\.sum entry|updates to go\.mod needed|not found|no required module|requires go ?(?:>=|@|version)|no matching versions|reading \S+: (?:404|410)|is not in (?:std|GOROOT)|cannot find main module|inconsistent vendoring|checksum mismatch|module declares its path|parsing go\.mod)|missing go\.sum entry|updates to go\.(?:mod|sum) needed|no required module provides package|cannot find module providing package|(?:cannot find )?package \S+ is not in (?:std|GOROOT)|is (?:explicitly required|replaced) in (?:go\.mod|vendor/modules\.txt), but|^verifying \S+: checksum mismatch|SECURITY ERROR|cannot find package \x22|inconsistent vendoring|go\.(?:mod|sum) (?:is|are) (?:out of date|not (?:tidy|up to date))|module lookup disabled by|\bmodule \S+ found.*but does not contain package",
    ),
    (
        "cargo-dependency",
        93,
        Dependency,
        r"^error: (?:failed to select a version|no matching package|failed to get `|failed to load source for dependency|failed to parse lock file|the lock file .* needs to be updated|package `\S+`? .*(?:cannot be built because it requires rustc|requires rustc)|rustc \S+ is not supported|failed to download|checksum for `)|^error: cannot (?:update|create) the lock file|\brequires rustc \d",
    ),
    (
        "npm-dependency",
        85,
        Dependency,
        r"^npm (?:ERR!|error) (?:code (?:ERESOLVE|ETARGET|EINTEGRITY|E404|EUSAGE|EBADENGINE|ENOVERSIONS)|404 |notarget |Could not resolve dependency|Conflicting peer|`npm ci` can only install)|No matching version found for|ERR_PNPM_\w+|Your lockfile needs to be updated|Couldn't find (?:any versions|package)|Cannot find module '",
    ),
    (
        "pip-dependency",
        92,
        Dependency,
        r"No matching distribution found|ResolutionImpossible|ERROR: Cannot install |DO NOT MATCH THE HASHES|^(?:E +)?(?:ModuleNotFoundError|ImportError): |dependency conflicts|Could not build wheels|Failed building wheel|because .* depends on .*version solving failed|No solution found when resolving dependencies",
    ),
    (
        "packages",
        90,
        Dependency,
        r"Could not find a version that satisfies|^E: (?:Unable to locate package|Version .* was not found|Package .* has no installation candidate|Unable to correct problems|Unmet dependencies)|^ERROR: unable to select packages|\(no such package\)|^(?:Error: )?Unable to find a match: |No package \S+ available|nothing provides |Could not find gem |Could not resolve dependencies for project|^E: Failed to fetch .*\b404\b",
    ),
    (
        "helm-dependency",
        92,
        Dependency,
        r"found in Chart\.yaml, but missing in charts/|(?:can't get|failed to (?:fetch|download)|could not (?:find|download|retrieve)) .*\bchart|no cached repo(?:sitory)? for|no repository definition for|no chart version found|chart .* matching .* not found in \S+ index|dependency \S+ not found|lock file \(Chart\.lock\) is out of sync",
    ),
    // The code.
    (
        "go-compile",
        91,
        Compile,
        r"^(?:vet: )?(?:[\w.@+/~-]+/)?[\w.@+-]+\.go:\d+:\d+: |^(?:vet|typecheck): \S+\.go:\d+|imported and not used|^\S*:\d+:\d+: (?:undefined|cannot use) |\bundefined: \w|^\S+\.go:\d+: (?:syntax error|undefined|cannot|declared|missing return|undeclared)",
    ),
    (
        "go-link",
        88,
        Compile,
        r"^(?:\S*/link|link): |undefined reference to [`']|\bcollect2: error: ld returned|ld(?:\.lld)?: (?:error: )?(?:cannot find|undefined|symbol)|linking with `\w+` failed|build constraints exclude all Go files|import cycle not allowed|relocation target \S+ not defined",
    ),
    (
        "rustc",
        91,
        Compile,
        r"^error(?:\[E\d{4}\])?: (?:expected|unexpected|cannot find|cannot borrow|mismatched|unused|unresolved|unreachable|this |the trait|macro |proc.macro|no rules|unclosed|unterminated|unknown start|missing|failed to resolve: |aborting due to|use of|borrow|variable|struct|type |method|function|item|associated|lifetime|`\S+` |invalid (?:format|suffix)|\S+ is ambiguous)|^error\[E\d{4}\]|^error: custom build command|^error: failed to run custom build command",
    ),
    // Where a line above it is the error itself; it is that line which counts.
    ("rustc-place", 91, Compile, r"^ +--> \S+\.rs:\d+:\d+$"),
    (
        "c-compile",
        91,
        Compile,
        r"^\S+\.(?:c|cc|cpp|cxx|h|hpp|m):\d+(?::\d+)?: (?:fatal )?error: |^\S+\.java:(?:\[?\d+(?:,\d+)?\]?:?) error: |\.java:\[\d+,\d+\] (?:error|cannot|incompatible)",
    ),
    (
        "typescript",
        91,
        Compile,
        r"\.[cm]?[tj]sx?[(:]\d+[,:]\d+\)?(?: -|:) error TS\d+|\berror TS\d+: |^Failed to compile\.?$|^\s+\d+:\d+\s+error\s+\S|\[ERROR\] (?:Could not resolve|No matching export)|(?:Rollup|vite) failed to resolve import|^Module not found: |^\[vite\]: ",
    ),
    (
        "python-syntax",
        90,
        Compile,
        r"^(?:E +)?(?:SyntaxError|IndentationError|TabError): |\.py:\d+:\d+: [EFWCN]\d{3,4} |\.py:\d+: error: .*\[[\w-]+\]$",
    ),
    ("protoc", 89, Compile, r"\.proto:\d+:\d+: "),
    (
        "static-check",
        85,
        Compile,
        r"(?i)(?:generated|committed) (?:files?|code|manifests?|artifacts?|crds?) (?:is|are|is/are)? ?(?:out of (?:date|sync)|not up[- ]to[- ]date|stale|dirty)|\bis out of date\b.*(?:run|please)|working (?:directory|tree) is (?:dirty|not clean)|dirty working (?:directory|tree)|files? (?:is|are|were) not (?:gofmt|formatted|properly formatted)|^diff in \S+ at line|would reformat \S+|\d+ problems? \([1-9]\d* errors?, |code style issues found|please (?:run|commit).{0,40}(?:make (?:generate|manifests|fmt|verify)|go generate|gofmt)|^In \S+\.sh line \d+:",
    ),
    // Tests.
    (
        "go-panic",
        90,
        Test,
        r"^panic: |^fatal error: (?:all goroutines|concurrent map|runtime|stack overflow|unexpected signal)|^\s+panic: .* \[recovered\]|^SIGSEGV: |\[signal SIGSEGV",
    ),
    (
        "data-race",
        90,
        Test,
        r"WARNING: DATA RACE|testing\.go:\d+: race detected",
    ),
    (
        "pytest-failure",
        86,
        Test,
        r"^E {2,}[A-Za-z_.]*(?:Error|Exception|Failed|Exit|Timeout)\b|^E {2,}assert ",
    ),
    (
        "test-failure",
        89,
        Test,
        r"^\s*--- FAIL: \S|^(?:FAILED|ERROR) \S+\.py(?:::| )|^test \S+ (?:- should panic )?\.\.\. FAILED|^(?:FAIL|FAILED):? .*\.(?:test|spec)\.[cm]?[jt]sx?|^\s*\[FAIL(?:ED)?\] |^\s*(?:\xe2\x9c\x95|\xe2\x9c\x97|\xe2\x9c\x98|\xc3\x97) \S|^not ok \d+|^\s+\d+\) (?:\S+ )+failed|<<< (?:FAILURE|ERROR)!|^FAIL(?:ED)?: (?:Test|test|//)|^//\S+\s+FAILED in|^\s*FAIL \[ *\d+\.\d+s\]|^\{.*\x22Action\x22:\x22fail\x22.*\x22Test\x22:|^\s*\[Fail\] |^ERROR: test\w* \(|^\s+\d+\) \[\w+\] \xe2\x80\xba |^=== FAIL: |\x22Output\x22:\x22\s*--- FAIL: ",
    ),
    (
        "test-panic",
        86,
        Test,
        r"^\s*\xe2\x97\x8f \S.* \xe2\x80\xba |^thread '[^']+' (?:\(\d+\) )?panicked at",
    ),
    (
        "assertion",
        86,
        Test,
        r"^\s*(?:E +)?(?:java\.lang\.)?Assertion(?:Failed)?Error\b|assertion (?:`[^`]*` )?failed|^\s+\w+_test\.go:\d+: |^\s*Error Trace:|^\s*Expected: .*\bgot\b",
    ),
    (
        "helm-test",
        87,
        Test,
        r"pod \S+ failed$|unable to (?:get|run) .*\btest(?:s| hook)\b|(?i)\btest suite:?\s+\S+.*\nphase: failed",
    ),
    // Git and the forge.
    (
        "git-network",
        95,
        Network,
        r"(?i)unable to access '[^']*': (?:failed to connect|could not resolve|.*(?:timed? ?out|reset|ssl|tls|gnutls|empty reply|recv failure|returned error: 5\d\d))|^fatal: (?:early eof|the remote end hung up|read error|fetch-pack: )|\bRPC failed; (?:curl|HTTP 5)|could not resolve host(?:name)?\b|^ssh: connect to host|connection closed by remote host|kex_exchange_identification|^The connection to the server \S+ was refused|^npm (?:ERR!|error) network (?:request to|read|connect)",
    ),
    (
        "git-config",
        91,
        Git,
        r"^fatal: (?:unable to auto-detect email|empty ident|detected dubious ownership|not a git repository|bad config|no configured push|no upstream|couldn't find remote ref|ambiguous argument|bad revision|invalid reference|reference is not a tree|'[^']*' (?:does not appear|is not a commit)|pathspec|tag '[^']*' already exists|a branch named|remote \w+ already exists|No tags can describe)|^error: pathspec",
    ),
    (
        "git",
        90,
        Git,
        r"^(?:error|Error|ERROR): failed to push some refs|^ ?! \[(?:remote )?rejected\]|^(?:fatal|FATAL): |^CONFLICT \(|^Automatic merge failed|^remote: (?:error|fatal|Permission|ERROR|Repository not found|Invalid)|^error: (?:could not apply|your local changes|RPC failed|src refspec|unable to|cannot lock ref|cannot pull|cannot rebase|commit is not possible|patch failed|remote unpack)|GH\d{3}: |protected branch hook declined|pre-receive hook declined|hook declined|non-fast-forward|^error: \S+: patch does not apply|Merge conflict in ",
    ),
    (
        "forge",
        88,
        Git,
        r"(?i)^(?:gh: )?(?:pull request|release) create failed|GraphQL: |a pull request (?:for branch .*|already exists\b.*)already exists|pull request already exists|No commits between|\bgh: |HTTP (?:404|409|410|422)\b.*(?:api\.)?github\.com|release (?:tag )?\S+ already exists|^HTTP (?:404|409|422): |^could not (?:create|find) (?:any )?(?:pull request|release|label)|validation failed.*(?:github|already_exists)|\balready_exists\b|head sha can't be blank|no pull requests found|failed to create (?:release|pull request)|could not add label|set the GH_TOKEN environment variable|no git remotes found",
    ),
    // Clouds and clusters.
    (
        "aws-registry",
        94,
        Registry,
        r"An error occurred \((?:Repository\w*|Image\w*|Layer\w*|InvalidLayer\w*)\) when calling",
    ),
    (
        "aws-credentials",
        96,
        Auth,
        r"An error occurred \((?:AccessDenied\w*|Unauthorized\w*|Unrecognized\w*|Expired\w*|Invalid(?:ClientTokenId|AccessKeyId|IdentityToken|Signature\w*)|Signature\w*|AuthFailure|OptInRequired|NotAuthorized\w*)\) when calling|Error (?:when )?retrieving credentials",
    ),
    (
        "aws",
        87,
        Configuration,
        r"An error occurred \(\w+\) when calling|operation error [\w ]+: \w+, .*api error|You must specify a region|The config profile \(.*\) could not be found|aws: error: |Unknown options: |Invalid bucket name|Parameter validation failed",
    ),
    (
        "kubectl",
        87,
        Configuration,
        r"^(?:error: |Error: )?(?:Error )?from server \(\w+\)|^error: (?:unable to (?:recognize|decode|parse|read)|error (?:validating|parsing|converting)|no matches for kind|the server doesn't have a resource type|no context exists|the path \x22|resource mapping not found)|no matches for kind \x22|admission webhook \x22[^\x22]+\x22 denied|error: deployment \x22[^\x22]+\x22 exceeded its progress deadline|is invalid: \S+: (?:Invalid|Required|Forbidden|Unsupported)",
    ),
    (
        "wait-timeout",
        89,
        Timeout,
        r"(?i)timed out waiting for|\btimeout (?:waiting|while waiting|expired|reached|after)|exceeded its progress deadline|\bgave up (?:waiting )?after|\bgiving up (?:waiting )?after \d+ ?(?:s|m|sec|min)|not (?:ready|available|found|published) (?:with)?in \d+ ?(?:s|m|sec|min)|(?:wait(?:ed|ing)?) .{0,60}(?:timed out|too long)|\bhas exceeded (?:the )?(?:maximum execution time|deadline|time ?out)|(?:time|deadline) ?out of \w+ (?:exceeded|reached)|\bdid not (?:become|complete|finish|appear|start)\b.{0,60}\b(?:within|in|after) \d|exit(?:ed)?(?: with)?(?: (?:status|code):?)? 124\b|maximum (?:number of )?(?:wait|polling) (?:time|attempts)|context deadline exceeded",
    ),
    (
        "helm",
        88,
        Configuration,
        r"(?i)^Error: (?:INSTALLATION FAILED|UPGRADE FAILED|chart \x22|chart metadata|Chart\.yaml|template: |parse error|YAML parse error|unable to build kubernetes objects|failed pre-install|failed post-install|failed to parse|execution error at|values don't meet|cannot load|cannot re-use|validation:|non-absolute URLs|\S+ has no deployed releases|repo \S+ not found|rendered manifests|path \x22|plugin \x22|unable to build)|error unmarshaling JSON|error converting YAML to JSON|nil pointer evaluating|wrong type for value; expected|\[ERROR\] (?:templates/|Chart\.yaml|values\.yaml)|values don't meet the specifications|\btemplate: \S+:\d+:\d+: executing|accumulating resources|no matches for Id|error building site|REF_NOT_FOUND|aborted with \d+ warnings|liquid exception|\b(?:CREATE|UPDATE|DELETE)_FAILED\b|ROLLBACK_COMPLETE",
    ),
    // What is far away.
    (
        "remote-5xx",
        92,
        Network,
        r"(?i)\b50[0234] (?:internal server error|bad gateway|service (?:temporarily )?unavailable|gateway time-?out)|received unexpected HTTP status: 5\d\d|\b(?:status(?: code)?|HTTP|HTTP/\d(?:\.\d)?|returned error|error|response code|code)[:=]? ?(?:is )?5(?:0[0-9]|2[0-9])\b|\bServiceUnavailable\b|\bInternalError\b|ServerException|InternalFailure|\bupstream connect error\b|^(?:error: )?Internal Server Error$|\bserver (?:is )?(?:temporarily|currently) unable\b",
    ),
    (
        "network",
        90,
        Network,
        r"(?i)\b(?:i/o timeout|TLS handshake (?:timeout|failure)|connection (?:was )?(?:reset|refused|closed|aborted|timed out|timeout)|reset by peer|no such host|(?:temporary failure|failure) in name resolution|name or service not known|unexpected EOF|Client\.Timeout (?:or context cancellation )?exceeded|request canceled while waiting for connection|no route to host|network is (?:unreachable|down)|broken pipe|could ?n[o']t resolve (?:host|proxy)|could ?n[o']t connect to|failed to connect to|unable to connect to|connect timeout|read timed out|max retries exceeded|server misbehaving|ECONNRESET|ECONNREFUSED|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|socket hang up|http2: (?:server|client) (?:sent GOAWAY|connection)|stream error: stream ID|operation timed out|timeout was reached|tls: |x509: |certificate (?:verify failed|has expired|signed by unknown)|ssl certificate problem|SSLError|ssl_error_syscall|SSL: \w+|proxyconnect tcp|server closed (?:the )?connection|unexpectedly closed the connection|transport is closing|error reading from server|transfer closed with|Could not connect to the endpoint URL|Failed to fetch http|spurious network error|net/http: |dial tcp|peer closed connection|hash sum mismatch|Connection broken|IncompleteRead|RemoteDisconnected|NewConnectionError)(?:\b|$|\s)|(?:(?:get|post|put|head|patch|delete) \x22?https?:|dial |lookup |pinging ).*context deadline exceeded|(?:get|post|put|head|patch|delete) \x22?https?:\S+: EOF$",
    ),
    (
        "curl",
        85,
        Network,
        r"^curl: \((?:5|6|7|16|18|28|35|51|52|55|56|60|92)\) ",
    ),
    ("curl-answer", 84, Configuration, r"^curl: \(\d+\) "),
    (
        "docker-daemon",
        90,
        Infrastructure,
        r"Cannot connect to the Docker daemon|Is the docker daemon running|failed to start daemon|error during connect: ",
    ),
    (
        "cluster",
        86,
        Infrastructure,
        r"(?i)\b(?:ErrImagePull|ImagePullBackOff|CreateContainerConfigError|CreateContainerError|FailedScheduling|FailedMount|FailedCreatePodSandBox)\b|\bnode (?:is )?(?:not ?ready|shutting down|lost)\b|insufficient (?:cpu|memory|pods)\b|^ERROR: failed to create cluster|pod (?:was )?evicted|preempt(?:ed|ion notice)|the node was low on resource|etcdserver: |could not find a log line that matches|OCI runtime (?:create|exec) failed|runc (?:run|create) failed|resource temporarily unavailable|too many open files|failed to init node with kubeadm|input/output error",
    ),
    // The job's own settings.
    (
        "permission",
        94,
        Configuration,
        r"(?i)(?:^|: )(?:line \d+: )?[~.]?/?\S*/\S*: permission denied$|\bopen \S+: permission denied|\b(?:mkdir|cp|mv|rm|touch|chmod|tee|ln|cat|install): .*: permission denied|permission denied: '|EACCES: permission denied|exec: \x22?\S+: permission denied|operation not permitted|read-only file system",
    ),
    (
        "missing-tool",
        90,
        Configuration,
        r"(?i)\bcommand not found\b|executable file not found in \$?PATH|^(?:/bin/)?(?:ba|da)?sh: (?:\d+: |line \d+: )?\S+: not found$|: \d+: \S+: not found$|exec format error|^env: .*No such file or directory|No such file or directory \(os error 2\)|exec: \x22\S+\x22: stat |bad interpreter|no such (?:sub)?command|is not a (?:docker|git|helm|make|kubectl) command|make: \S+: No such file or directory|fork/exec \S+: no such file|\bbad substitution$|integer expression expected|ambiguous redirect",
    ),
    (
        "usage",
        84,
        Configuration,
        r"(?i)\bunknown (?:flag|shorthand flag|command|option|argument|subcommand|long flag)\b|flag provided but not defined|flag needs an argument|unrecognized (?:option|argument)s?\b|unexpected argument '|\b(?:required|mandatory) (?:flag|argument|option|env(?:ironment)?(?: variable)?|variable|parameter)s?\b.*(?:not|missing|provided|set)|invalid (?:argument|option|value) \S|unbound variable$|parameter (?:null or )?not set$|syntax error near unexpected|unexpected EOF while looking|unexpected end of file$|\b(?-i:[A-Z][A-Z0-9_]{2,}):? (?:(?:env(?:ironment)? (?:variable|var) )?(?:is|was|must be|has to be|needs to be) )?(?:not (?:be )?(?:set|defined|empty|provided|found)|unset|undefined|set$|empty|required|missing)\b|missing required|no rule to make target|missing separator|^make: \*\*\* No targets|illegal option|accepts \d+ arg|requires (?:exactly|at least) \d+ arg|^(?:\S+: )?(?:error: )?please (?:set|provide|specify|define|export|pass)\b|\b(?:argument|flag|option|input|parameter|field|key|property|value)s? .{0,40}\b(?:is|are) (?:required|missing|invalid|not (?:valid|allowed|supported))|\bnot a valid \w+|unsupported (?:flag|option|value|version|platform)|\bmust be (?:one of|specified|provided|set)\b",
    ),
    (
        "bad-file",
        83,
        Configuration,
        r"(?i)\byaml: (?:line \d+|unmarshal|did not|mapping|control)|\bunmarshal(?:l?ing)?\b.*(?:cannot|error|into|fail|field)|cannot unmarshal|invalid character .{1,6} (?:looking|after|in)|unexpected end of JSON input|^jq: error|^parse error: |toml parse error|(?:json|yaml|toml)\S*(?:Decode|Scanner|Parser)Error|yaml\.(?:scanner|parser)\.|mapping values are not allowed|did not find expected|failed to parse (?:manifest|config|yaml|json)|KeyError: '|invalid semantic version|invalid semver|Invalid Semantic Version|^yq: |^Error: (?:bad file|open \S+: no such)|(?:invalid|malformed) (?:configuration|version|tag|reference format)|invalid reference format|configuration error|error loading config",
    ),
    (
        "missing-file",
        72,
        Configuration,
        r"(?i)(?:no such file or directory|cannot find the (?:file|path)(?: specified)?)(?:\W|$)|FileNotFoundError|ENOENT\b|cannot stat '|^(?:ls|cat|cp|mv|sed|grep|find|cd|source|tar): .*(?:cannot|can't|no such|not found)|: not found$|file does not exist$|is not a directory|: Is a directory$",
    ),
    // Image builds, where nothing inside says more.
    (
        "dockerfile",
        86,
        ImageBuild,
        r"(?i)^(?:error: )?(?:failed to solve: )?(?:dockerfile parse error|unknown instruction)|failed to (?:compute cache key|calculate checksum of ref)|(?:COPY|ADD) failed: |file not found in build context|failed to read dockerfile|no such file or directory:? .*dockerfile|target stage \S+ could not be found|(?:copier|adding sources): .*no such file|error building .*(?:COPY|ADD) |failed to get fileinfo for|lstat /kaniko/\S+: no such|\b(?:checking on sources under)|failed to process \x22|base name \(\S+\) should not be blank|syntax error: unexpected .*Dockerfile",
    ),
    (
        "image-build",
        81,
        ImageBuild,
        r"(?i)^(?:ERROR: )?failed to (?:solve|build): ",
    ),
    (
        "image-step",
        80,
        ImageBuild,
        r"(?i)executor failed running|^Error: building at STEP|error building at STEP|^error: build error|error building image: |error building stage: |while running runtime: exit status|process \x22[^\x22]+\x22 did not complete successfully|The command '[^']+' returned a non-zero code|^ko: |Error: failed to publish images: ",
    ),
    // Python's own way of ending.
    (
        "python-error",
        78,
        Unclassified,
        r"^(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception): ",
    ),
    (
        "timeout",
        75,
        Timeout,
        r"(?i)\btimed out\b(?:$|[^/.\w])|\bdeadline (?:has been )?exceeded\b|\bTimeoutError\b|\btimeout: (?:sending signal|the monitored command)",
    ),
    // What only says that something failed.
    (
        "build-failed",
        67,
        Compile,
        r"^FAIL\t\S+ \[(?:build|setup) failed\]|^error: could not compile|^make: \*\*\* \[\S*(?:lint|vet|fmt|verify)\S*\]|^error: aborting due to|Found \d+ errors? in \d+ file|^ELIFECYCLE|^ERROR: Failed to build|BUILD FAILURE|^# command-line-arguments$|^error during build:|^diff --git a/|^\S+ Build failed in|^make(?:\[\d+\])?: \*\*\* \[\S*(?:generate|compile)\S*\]",
    ),
    (
        "tests-failed",
        66,
        Test,
        r"^FAIL\t\S+\t|^FAIL(?:\s+\S+/\S+)?\s|^test result: FAILED|^error: test failed, to rerun|^=+ .*\b[1-9]\d* (?:failed|errors?)\b.* in [\d.]+|^Tests?:\s+[1-9]\d* failed|^\s+[1-9]\d* failing$|^FAILED \(|^FAIL!|Summarizing [1-9]\d* Failure|^Test Suites: [1-9]|^Ran \d+ of \d+ Specs.*|There (?:were|are) (?:test )?failures|tests? failed[.!]?$|^error: \d+ targets? failed|^\s*\xe2\x80\xa2 (?:\[FAILED\]|Failure)",
    ),
    (
        "package-manager",
        50,
        Unclassified,
        r"^npm (?:ERR!|error) |^error Command failed|^E: |^ERROR: pip's|^gyp ERR!",
    ),
    (
        "about-time",
        65,
        Timeout,
        r"(?i)(?:^(?:\[[\w./-]+\]:? |[\w./-]+: )?(?:error|fatal|critical)\b|\[(?:error|fatal)\]|\berror: |level=(?:error|fatal)|\x22level\x22: ?\x22(?:error|fatal)\x22|\bfailed to |\bunable to |\bcould not |\bcannot ).*\b(?:time ?out|timed out|deadline|took too long|waiting for)\b",
    ),
    (
        "about-access",
        65,
        Auth,
        r"(?i)(?:^(?:\[[\w./-]+\]:? |[\w./-]+: )?(?:error|fatal|critical)\b|\[(?:error|fatal)\]|\berror: |level=(?:error|fatal)|\x22level\x22: ?\x22(?:error|fatal)\x22|\bfailed to |\bunable to |\bcould not |\bcannot ).*\b(?:permissions?|not allowed|credentials?|tokens?|log ?in|password|authenticat\w+|authoriz\w+|sign(?:ing|ature|er)?|secret key|private key|assume role|expired)\b",
    ),
    (
        "about-network",
        65,
        Network,
        r"(?i)(?:^(?:\[[\w./-]+\]:? |[\w./-]+: )?(?:error|fatal|critical)\b|\[(?:error|fatal)\]|\berror: |level=(?:error|fatal)|\x22level\x22: ?\x22(?:error|fatal)\x22|\bfailed to |\bunable to |\bcould not |\bcannot ).*\b(?:connect(?:ion)?|network|unreachable|unavailable|resolve host|dns|socket|proxy|tls|ssl|handshake|fetch(?:ing)?|download(?:ing)?)\b",
    ),
    (
        "about-image",
        65,
        Registry,
        r"(?i)(?:^(?:\[[\w./-]+\]:? |[\w./-]+: )?(?:error|fatal|critical)\b|\[(?:error|fatal)\]|\berror: |level=(?:error|fatal)|\x22level\x22: ?\x22(?:error|fatal)\x22|\bfailed to |\bunable to |\bcould not |\bcannot ).*\b(?:registry|manifest|blob|layer|image|repository with name|push(?:ing)? (?:image|chart|tag))\b.*\b(?:not found|does not exist|unknown|exists|missing|invalid|refused)\b",
    ),
    (
        "about-git",
        65,
        Git,
        r"(?i)(?:^(?:\[[\w./-]+\]:? |[\w./-]+: )?(?:error|fatal|critical)\b|\[(?:error|fatal)\]|\berror: |level=(?:error|fatal)|\x22level\x22: ?\x22(?:error|fatal)\x22|\bfailed to |\bunable to |\bcould not |\bcannot ).*\b(?:branch|commit|merge|rebase|cherry-pick|pull request|upstream|refs?/|tag v?\d|working tree|patch)\b",
    ),
    (
        "about-setting",
        65,
        Configuration,
        r"(?i)(?:^(?:\[[\w./-]+\]:? |[\w./-]+: )?(?:error|fatal|critical)\b|\[(?:error|fatal)\]|\berror: |level=(?:error|fatal)|\x22level\x22: ?\x22(?:error|fatal)\x22|\bfailed to |\bunable to |\bcould not |\bcannot ).*\b(?:not found|missing|does(?: not|n.t) exist|no such|invalid|unknown|unrecognized|unsupported|malformed|must (?:be|have|not)|required|cannot be (?:empty|blank|nil|null)|not set|unset|empty|undefined|unexpected|parse|parsing|syntax|schema|config(?:uration)?|unmarshal|decode|load|mismatch|does not match|duplicate|version|flag|argument|option|variable|template|field|key)\b",
    ),
    (
        "error-prefix",
        64,
        Unclassified,
        r"(?i)^(?:\[[\w./-]+\]:? |[\w./-]+: )?(?:error|fatal|critical|failure)(?: \(\w+\))?: |^(?:error|fatal) |^\xe2\x94\x82 Error: |^\s+(?:\xe2\xa8\xaf|error=)",
    ),
    (
        "error-level",
        62,
        Unclassified,
        r"(?i)\[(?:ERROR|FATAL|ERR)\]|\bERROR:|\blevel=(?:error|fatal|panic)\b|\x22(?:level|severity)\x22: ?\x22(?:error|fatal|critical)\x22|^[EF]\d{4} \d\d:|\bERRO\[|\bFATA\[|^\S* ?(?-i:ERROR|FATAL)\b|^\xe2\x9d\x8c|^\xe2\x9c\x97|\x1b\[31m",
    ),
    (
        "failed-to",
        61,
        Unclassified,
        r"(?i)(?:^|: )(?:failed|unable) to \w+|^(?:could not|cannot|can't) \w+|^\S+ failed(?:[.!:]|$)|^fail(?:ed|ure)?: |\bwas not successful\b|^\S+\.sh: line \d+: |\b(?-i:FAILED)\b|^nothing to commit, working tree clean",
    ),
    // Consequences.
    (
        "make-tail",
        25,
        Unclassified,
        r"^(?:g?make|gnumake)(?:\[\d+\])?: \*\*\* .*(?:Error \d+|Waiting for unfinished jobs\.\.\.\.|Terminated|Stop\.)$",
    ),
    (
        "interrupted",
        98,
        Infrastructure,
        r"Entrypoint received interrupt",
    ),
    (
        "exit-tail",
        10,
        Unclassified,
        r"(?i)^(?:error: )?(?:\S+: )?(?:exit status \d+|exit code:? \d+|process exited with|script returned exit code|process completed with exit code \d+|command failed with exit code|exited with (?:code|status)|command exited|subprocess\.CalledProcessError|ERROR: (?:Job|Build|Command) failed|command terminated with)|Command '.*' returned non-zero exit status|^npm (?:ERR!|error) (?:errno|syscall|path|cwd|command|A complete log|Exit status|Failed at|\s*$)|^npm (?:ERR!|error) code (?:ELIFECYCLE|\d+)|^npm (?:ERR!|error) Lifecycle script|ELIFECYCLE",
    ),
    (
        "prow-wrapper",
        8,
        Infrastructure,
        r#"\x22component\x22: ?\x22(?:entrypoint|sidecar|clonerefs|initupload)\x22|Process (?:did not exit|gracefully exited) before [0-9a-z.]+ grace|wrapped process failed|error executing test process"#,
    ),
];

/// Commands that are echoed, warnings, and good ends: a rule that matches such a line is mistaken.
pub(super) const NOISE: &str = r"(?i)^\s*(?:\+|\$) |level=(?:info|debug|trace|warn(?:ing)?)\b|\x22(?:level|severity)\x22: ?\x22(?:info|debug|trace|warn(?:ing)?)\x22|^\s*\[?(?:INFO|DEBUG|TRACE|NOTE|HINT|WARN|WARNING)\b|^(?:npm|pip|cargo|npm ERR!)? ?(?:warn|warning|notice)\b|\bWARN(?:ING)?:|\[WARN(?:ING)?\]|^[IW]\d{4} \d\d:|\bdeprecat(?:ed|ion)\b|\b(?:0|no|without) (?:errors?|failures?|failed)\b|\b0 fail|errors?(?:_count)?[=:] ?0\b|fail(?:ed|ures?)?[=:] ?0\b|\bignor(?:ing|ed)\b|\(ignored\)|--(?:ignore|on)-?\w*error|\|\| true|errors\.New|fmt\.Errorf|if err != nil|\bset -e|--fail(?:-fast)?\b|^ok\s+\S+\s|--- (?:PASS|SKIP): |^=== (?:RUN|CONT|PAUSE|NAME) |No names found, cannot describe|^HEAD is now at |^\[\S+ [0-9a-f]{7,}\] |^Initialized empty |^(?:Switched|Reset|Merge:|commit [0-9a-f]{40})\b|^(?:test \S+|\S+) \.\.\. ok$|\bPASS(?:ED)?\b|\.\.\. ok$|\bnon-fatal\b|\bnot fatal\b|\bharmless\b|\bas expected\b|\bexpected (?:error|failure)\b|\bcontinuing(?: anyway)?\b|\bskipp(?:ing|ed)\b|\bfall(?:ing)? ?back\b|\bgoing on\b|\bproceeding\b|\btolerated\b|\bbest[- ]effort\b|\busing (?:the )?default\b|\boptional\b|^\s*#(?:[^0-9]|$)|^\s*//|\bunchanged$|^(?:Get|Hit|Ign):\d+ |^(?:Setting up|Unpacking|Preparing to unpack|Selecting previously) |^(?:create|delete) mode \d+|^\s+\S+ +\| +\d+ |^(?:Downloading|Downloaded|Collecting|Installing|Fetching|Copying|Adding|added|adding|copying|creating|inflating:?) |^go: downloading |^\s*Compiling \S*error|^\s*(?:echo|printf) |\bpassed\b|\bsucceeded\b|\b(?:built|tagged|pushed|installed|completed|finished|created|configured|logged in|uploaded|deployed) successfully|^\W*successfully|\b0 \S+ failed";

/// Rules that noise does not weaken: what they match is said in such words.
pub(super) const LOUD: &[&str] = &[
    "data-race",
    "prow-timeout",
    "interrupted",
    "out-of-memory",
    "disk-full",
];

/// Prow ended the job; what failed before was not its end, and what failed after is a consequence.
pub(super) const FINAL: &[&str] = &["prow-timeout", "interrupted"];

/// What failed before this line is tried again. The two numbers, where there are, are this try and the last
/// one.
pub(super) const RETRY: &str = r"(?i)\bretrying\b|\bwill (?:be )?retr(?:y|ied)\b|\bretry (?:in|after|attempt|#?\d+)|\btrying again\b|\bwill try again|\bbacking off\b|\battempt #?(\d+)(?:/| of |, max )(\d+)|\bsleeping (?:for )?\d+|\bretr(?:y|ies) left\b|\bnot (?:ready|available|published) yet\b|\bstill waiting\b";

/// The first line of a step: an echoed command, a step of an image build, a test, a headline.
pub(super) const SEGMENT: &str = r"^\++ \S|^\$ \S|^STEP \d+(?:/\d+)?:? |^Step \d+/\d+ : |^#\d+ \[[^\]]+\] |^INFO\[\d+\] (?:RUN|COPY|ADD|FROM|USER|WORKDIR|ENV|Unpacking|Executing|Building|Running)|^=== RUN |^(?:==+>|>>>+|###+|\*\*\*+|={4,}>?) ?\w|^> \S+ \S+$|^## \S|^Run \S+$|^make(?:\[\d+\])?: Entering directory|^go (?:build|test|vet|run|generate) |^(?:docker|buildah|helm|kubectl|git|aws|cargo|gh) [a-z-]+ |^npm (?:run|ci|install|publish|test|pack|version|exec)\b|^> \S+@\S+ \S+$";

/// The first line of a step that only tidies up: what fails there has mostly failed before.
pub(super) const CLEANUP: &str = r"(?i)^\++ (?:\S*/)?(?:rm|rmdir|umount|kill|pkill|docker (?:rm|rmi|stop|kill|logout|network rm|volume rm|system prune)|buildah (?:rm|rmi|logout|umount)|kubectl (?:-\S+ (?:[\w./-]+ )?)*?(?:delete|describe|logs|top|config unset|get events)|docker (?:ps|logs|inspect)|df|free|ps|dmesg|journalctl|tail|kind delete|helm (?:uninstall|delete|registry logout)|git (?:worktree remove|branch -D|checkout -)|popd|trap|set \+e|(?:[\w-]*_)?(?:clean-?_?up|tear-?_?down|on_exit|at_exit|_?finish|dump|collect|gather)(?:_\w+)?)\b|\[CLEANUP\]|^(?:[\w.\]\[ :-]{0,30})?(?:cleaning up|tearing down|running (?:cleanup|exit) (?:trap|handler|function)|==+ ?clean-?up)\b";

/// Tidying up that lasts to the end, whatever steps it has.
pub(super) const LAST_CLEANUP: &str = r"(?i)^\++ (?:[\w-]*_)?(?:clean-?_?up|tear-?_?down|on_exit|at_exit|dump|collect|gather)(?:_\w+)?\b|\[CLEANUP\]";

/// Whether a line says that there will be no other try.
pub(super) fn gave_up(line: &[u8]) -> bool {
    const ENDS: [&[u8]; 6] = [
        b"giving up",
        b"gave up",
        b"exhausted",
        b"no more ",
        b"exceeded",
        b"not retrying",
    ];
    let line = line.to_ascii_lowercase();
    ENDS.iter()
        .any(|end| memchr::memmem::find(&line, end).is_some())
}
