internal import CLinux

/// What only the start needed of the program's code.
public enum StartPages {
    /// Gives back the pages that the start has mapped of the program and its libraries; to be called once it is over.
    ///
    /// The linker, tables that are built once, and libraries that try out all their algorithms touch far more code than
    /// an agent runs afterwards, and the kernel maps 64 KiB around each touch. Those pages would count as the agent's for
    /// as long as it runs. What is still needed comes back from the page cache, a microsecond or less for each 64 KiB.
    public static func release() { clinux_release_file_pages() }
}
