//! Running firmware in QEMU, and reading what it prints.

use std::{
    io::{ErrorKind, Read},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    elf::Program,
    error::{Result, failed},
    gdb,
    targets::Board,
};

/// Between looks at whether the emulator has ended.
const POLL: Duration = Duration::from_millis(5);

/// Runs the program `elf` until it ends by itself, and returns what it printed over semihosting.
///
/// # Errors
/// Where QEMU is missing, the program reports failure, or it takes longer than `limit`.
pub fn run(board: &Board, elf: &Path, limit: Duration) -> Result<String> {
    run_with(board, elf, limit, &[], || ()).map(|(printed, ())| printed)
}

/// The same, with the bytes of stack that the program has used when it ends.
///
/// # Errors
/// Where its linker script does not name the stack, too.
pub fn run_and_look_at_stack(
    board: &Board,
    elf: &Path,
    program: &Program,
    limit: Duration,
) -> Result<(String, u64)> {
    let folder =
        tempfile::tempdir().map_err(|problem| failed!("no temporary folder: {problem}"))?;
    let socket = folder.path().join("gdb");
    let gdb = format!("unix:{},server=on,wait=off", socket.display());
    let arguments = ["-S", "-gdb", &gdb];
    let look = || gdb::stack(&socket, program, limit);
    let (printed, stack) = run_with(board, elf, limit, &arguments, look)?;
    Ok((printed, stack.map_err(|problem| failed!("{}: {problem}", elf.display()))?))
}

/// Runs with more arguments for QEMU, and `meanwhile` beside it.
fn run_with<T: Send>(
    board: &Board,
    elf: &Path,
    limit: Duration,
    arguments: &[&str],
    meanwhile: impl FnOnce() -> T + Send,
) -> Result<(String, T)> {
    std::thread::scope(|scope| {
        let child = spawn(board, elf, arguments)?;
        let beside = scope.spawn(meanwhile);
        let printed = wait(child, &format!("{} on {}", elf.display(), board.name), limit)?;
        let done = beside.join().map_err(|_| failed!("what ran beside QEMU panicked"))?;
        Ok((printed, done))
    })
}

fn spawn(board: &Board, elf: &Path, more: &[&str]) -> Result<Child> {
    let (program, arguments) = board.qemu();
    let mut command = Command::new(program);
    command.args(arguments).args(["-display", "none", "-monitor", "none", "-serial", "none"]);
    command.args(["-chardev", "stdio,id=host"]);
    command.args(["-semihosting-config", "enable=on,target=native,chardev=host"]);
    command.arg("-icount").arg(format!("shift={}", board.counter.shift()));
    command.args(more).arg("-kernel").arg(elf);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|problem| match problem.kind() {
        ErrorKind::NotFound => failed!(
            "{program} is missing; on Debian: apt-get install qemu-system-arm qemu-system-misc"
        ),
        _ => failed!("{program} cannot be started: {problem}"),
    })
}

/// What `child` printed to the pipe, when it has ended well; errors call it `name`.
///
/// # Errors
/// Where it reports failure, or takes longer than `limit`.
pub fn wait(mut child: Child, name: &str, limit: Duration) -> Result<String> {
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
                return Err(failed!("{name} did not end within {} s", limit.as_secs()));
            }
            Ok(None) => std::thread::sleep(POLL),
            Err(problem) => return Err(failed!("QEMU: {problem}")),
        }
    };
    let [output, errors] = [output, errors]
        .map(|thread| thread.and_then(|thread| thread.join().ok()).unwrap_or_default());
    if !status.success() {
        return Err(failed!("{name} ended with {status}; it printed:\n{output}{errors}"));
    }
    Ok(output)
}

fn drain(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // What has been read counts, even if the pipe breaks.
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
