//! The `labhouse` program: everything is in the library beside it, see `lib.rs`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    labhouse::main()
}
