private import Glibc

/// Reads files that fit memory easily.
enum SmallFile {
    /// Why a file could not be read, in words with the file left out.
    struct ReadError: Error {
        let message: String
    }

    /// The file's content; refused beyond `limit` bytes, and for anything but regular files and pipes.
    static func read(_ path: String, limit: Int) throws(ReadError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure() }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var problem: ReadError?
        withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 1) { buffer in
            while problem == nil {
                let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                if count == 0 { return }
                if count < 0, errno == EINTR { continue }
                if count < 0 { problem = failure() }
                content.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<max(0, count)]))
                if content.count > limit { problem = ReadError(message: "the file has more than \(limit) bytes") }
            }
        }
        if let problem { throw problem }
        return content
    }

    private static func failure() -> ReadError {
        ReadError(message: String(cString: strerror(errno)))
    }
}
