//! Which threads go first when processors are short.

use rustix::process::setpriority_process;
use tracing::debug;

/// Between 0, as everybody else, and 19. At 10 a thread gets about a ninth of a busy processor.
const BEHIND: i32 = 10;

/// Puts the calling thread behind the others. Whoever accepts goes before whoever decides: a sender may give up,
/// what is accepted can wait.
pub fn lower() {
    // On Linux no process at all means the calling thread.
    if let Err(error) = setpriority_process(None, BEHIND) {
        debug!(
            error = &error as &dyn std::error::Error,
            "Cannot lower the priority of a thread"
        );
    }
}
