//! From a command line to the command.
use super::{CommandSpec, Parsed, Takes, help};
use crate::commands;
use crate::error::{EXIT_USAGE, Failure, Result};
use crate::globals::Globals;
use crate::output::print;
use crate::session::Session;

/// What a command line asks for.
#[derive(Debug)]
enum Request {
    Help(Vec<String>),
    Run(&'static CommandSpec, Vec<String>),
    Fail(Failure),
}

/// Runs a command line (without the program's name).
pub async fn run(args: Vec<String>) -> Result<()> {
    let (globals, args) = Globals::split(args, &|key| std::env::var(key).ok())?;
    if globals.version {
        return print(&format!("lsd version {}\n", crate::version()));
    }
    match request(args) {
        Request::Help(words) => print_help(&words),
        Request::Fail(failure) => Err(failure),
        Request::Run(spec, args) => {
            let parsed = Parsed::parse(spec, &args)?;
            let session = Session::new(globals)?;
            session.start_log(&|key| std::env::var(key).ok())?;
            (spec.run)(&session, &parsed).await
        }
    }
}

/// Finds the command's words among the arguments. They may stand between options; the longest command that fits
/// counts. The words that are left stay in place as positional arguments.
fn request(args: Vec<String>) -> Request {
    let plain = plain_words(&args);
    let words: Vec<&str> = plain.iter().map(|index| args[*index].as_str()).collect();
    let asks_help = args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--help" || arg == "-h");
    if asks_help || words.is_empty() {
        return Request::Help(words.into_iter().map(str::to_owned).collect());
    }
    if words[0] == "help" {
        return Request::Help(words[1..].iter().map(|word| (*word).to_owned()).collect());
    }
    let found = find(&words);
    if let Some(failure) = commands::not_supported_yet(&words, found.map_or(0, |(_, used)| used)) {
        return Request::Fail(failure);
    }
    let Some((spec, used)) = found else {
        return Request::Help(words.into_iter().map(str::to_owned).collect());
    };
    let taken = &plain[..used];
    let rest = args.iter().enumerate().filter(|(index, _)| !taken.contains(index)).map(|(_, arg)| arg.clone());
    Request::Run(spec, rest.collect())
}

/// Indices of the arguments that are neither options nor values of options. Which options take none is known
/// before the command is: their names mean the same in every command.
fn plain_words(args: &[String]) -> Vec<usize> {
    let mut plain = Vec::new();
    let mut index = 0;
    while index < args.len() {
        let arg = args[index].as_str();
        if arg == "--" {
            break;
        }
        if arg.starts_with('-') && arg.len() > 1 {
            index += usize::from(!arg.contains('=') && !is_switch(arg) && !is_sticky(arg));
        } else {
            plain.push(index);
        }
        index += 1;
    }
    plain
}

fn is_switch(arg: &str) -> bool {
    if arg == "-h" || arg == "--help" {
        return true;
    }
    let mut switches = commands::all().flat_map(CommandSpec::all_options).filter(|spec| spec.takes == Takes::Nothing);
    match arg.strip_prefix("--") {
        Some(long) => switches.any(|spec| spec.long == long),
        None => switches.any(|spec| spec.short == arg.chars().nth(1)),
    }
}

/// `-pPOOL`: a short option with its value behind it.
fn is_sticky(arg: &str) -> bool {
    !arg.starts_with("--") && arg.len() > 2
}

/// The command that the first words name, and how many words that takes.
fn find(words: &[&str]) -> Option<(&'static CommandSpec, usize)> {
    let mut best: Option<(&'static CommandSpec, usize)> = None;
    for spec in commands::all() {
        for name in [spec.words, spec.alias] {
            let longer = best.is_none_or(|(_, len)| name.len() > len);
            if !name.is_empty() && words.starts_with(name) && longer {
                best = Some((spec, name.len()));
            }
        }
    }
    best
}

/// Help for a command, or for all of them; naming no command that there is fails.
fn print_help(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.is_empty() {
        return print(&help::overview(commands::listed()));
    }
    match find(&words) {
        Some((spec, used)) => print(&help::command(spec, &words[..used])),
        None => {
            print(&help::overview(commands::listed()))?;
            Err(Failure::bare(EXIT_USAGE, format!("error: unknown option '{}'\n", words.join(" "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Request {
        request(line.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn words_of_rbd_that_are_not_there_are_not_taken_for_others() {
        for line in
            ["perf image iotop", "perf image iostat rbd", "--pool rbd perf image iostat", "perf --pool p image iotop"]
        {
            let Request::Fail(failure) = asked(line) else { panic!("{line}") };
            let words = "'perf image' is not supported yet: (95) Operation not supported";
            assert_eq!((failure.code, failure.message.as_str()), (nix::libc::EOPNOTSUPP, words), "{line}");
        }
        for line in ["trash purge schedule ls", "--pool p trash purge schedule add 1d", "trash purge schedule rm"] {
            let Request::Fail(failure) = asked(line) else { panic!("{line}") };
            let words = "'trash purge schedule' is not supported yet: (95) Operation not supported";
            assert_eq!((failure.code, failure.message.as_str()), (nix::libc::EOPNOTSUPP, words), "{line}");
        }
        // `schedule` may be the name of a pool.
        for line in ["trash purge schedule", "trash purge rbd"] {
            assert!(matches!(asked(line), Request::Run(spec, _) if spec.words == ["trash", "purge"]), "{line}");
        }
        assert!(matches!(asked("trash mv rbd/a"), Request::Run(spec, _) if spec.words == ["trash", "move"]));
        assert!(matches!(asked("trash bogus"), Request::Help(_)));
        assert!(matches!(asked("sparsify rbd/a"), Request::Run(spec, _) if spec.words == ["sparsify"]));
        assert!(
            matches!(asked("config pool ls rbd"), Request::Run(spec, _) if spec.words == ["config", "pool", "list"])
        );
        assert!(
            matches!(asked("migration prepare rbd/a"), Request::Run(spec, _) if spec.words == ["migration", "prepare"])
        );
        assert!(matches!(asked("deep cp rbd/a rbd/c"), Request::Run(spec, _) if spec.words == ["deep", "copy"]));
        assert!(matches!(asked("snap add rbd/a@b"), Request::Run(spec, _) if spec.words == ["snap", "create"]));
        for line in ["perf rbd/image", "perf image", "perf --interval 1 image"] {
            assert!(matches!(asked(line), Request::Run(spec, _) if spec.words == ["perf"]), "{line}");
        }
    }
}
