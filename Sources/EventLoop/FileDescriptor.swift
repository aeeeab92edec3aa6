internal import Glibc

/// An open descriptor with one owner, who closes it by closing or dropping this value.
public struct FileDescriptor: ~Copyable, Sendable {
    /// The number the kernel knows it by; valid while this value lives.
    public let rawValue: Int32

    /// Takes ownership of `rawValue`, which must be open.
    public init(owning rawValue: Int32) {
        precondition(rawValue >= 0, "not a descriptor")
        self.rawValue = rawValue
    }

    deinit { _ = Glibc.close(rawValue) }

    /// Closes the descriptor now. Deregister it from its loop first.
    ///
    /// Errors are not reported: on Linux the descriptor is gone whatever `close` returns, and repeating it could close
    /// somebody else's.
    public consuming func close() {}

    /// Gives up ownership: the caller has to close the number.
    public consuming func release() -> Int32 {
        let number = rawValue
        discard self
        return number
    }
}
