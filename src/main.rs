//! The `labhouse` program: everything is in the library beside it, see `lib.rs`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    without_huge_pages();
    labhouse::main()
}

/// Memory in pages of 4 KiB, never of 2 MiB. The kernel fills a huge page with zeros when its first byte is touched, and of
/// what the allocator sets apart for many threads and small tables most is never touched: a lake of 400 tables took 380 MiB
/// instead of 97, and where other programs wanted memory, too, the queries of TPC-H a quarter more of the processor. Programs
/// that are started inherit it.
fn without_huge_pages() {
    #[cfg(target_os = "linux")]
    {
        let (on, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
        #[expect(unsafe_code, reason = "the standard library has no word for it")]
        // SAFETY: a plain system call with numbers; it changes how this process gets pages, and no memory it has.
        // Where it fails all is as it would be without it.
        let _ = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, on, none, none, none) };
    }
}
