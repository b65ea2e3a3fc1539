//! The `lsd-nbd` command: maps images to kernel devices and serves them to NBD clients.
fn main() -> std::process::ExitCode {
    lsd_cli::nbd_cmd::lsd_nbd_main(std::env::args_os())
}
