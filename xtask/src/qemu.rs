//! Running firmware in QEMU, and reading what it prints.

use std::{
    io::{ErrorKind, Read},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    error::{Result, failed},
    targets::Board,
};

/// Between looks at whether the emulator has ended.
const POLL: Duration = Duration::from_millis(5);

/// Runs the program `elf` until it ends by itself, and returns what it printed over semihosting.
///
/// # Errors
/// Where QEMU is missing, the program reports failure, or it takes longer than `limit`.
pub fn run(board: &Board, elf: &Path, limit: Duration) -> Result<String> {
    let (program, arguments) = board.qemu();
    let mut command = Command::new(program);
    command.args(arguments).args(["-display", "none", "-monitor", "none", "-serial", "none"]);
    command.args(["-chardev", "stdio,id=host"]);
    command.args(["-semihosting-config", "enable=on,target=native,chardev=host"]);
    command.arg("-icount").arg(format!("shift={}", board.counter.shift()));
    command.arg("-kernel").arg(elf);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|problem| match problem.kind() {
        ErrorKind::NotFound => failed!(
            "{program} is missing; on Debian: apt-get install qemu-system-arm qemu-system-misc"
        ),
        _ => failed!("{program} cannot be started: {problem}"),
    })?;
    let output = child.stdout.take().map(|pipe| std::thread::spawn(move || drain(pipe)));
    let errors = child.stderr.take().map(|pipe| std::thread::spawn(move || drain(pipe)));
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() > limit => {
                // Both fail only where it has ended meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed!(
                    "{} on {} did not end within {} s",
                    elf.display(),
                    board.name,
                    limit.as_secs()
                ));
            }
            Ok(None) => std::thread::sleep(POLL),
            Err(problem) => return Err(failed!("{program}: {problem}")),
        }
    };
    let [output, errors] = [output, errors]
        .map(|thread| thread.and_then(|thread| thread.join().ok()).unwrap_or_default());
    if !status.success() {
        return Err(failed!(
            "{} on {} ended with {status}; it printed:\n{output}{errors}",
            elf.display(),
            board.name
        ));
    }
    Ok(output)
}

fn drain(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // What has been read counts, even if the pipe breaks.
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
