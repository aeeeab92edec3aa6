import Bytes
import Glibc

/// Finds lines that end with CRLF, remembering how far it looked so that bytes arriving one by one cost no more.
struct LineScanner {
    enum Step: Equatable {
        /// A line of that many bytes, the CRLF not counted, lies at the front.
        case line(Int)
        case needMore
        /// The line with its CRLF is longer than the limit.
        case tooLong
    }

    private var scanned = 0

    /// Looks for the end of the first line. What it answers does not depend on how the bytes arrived: a line over the
    /// limit is too long whatever else it is.
    mutating func step(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(HTTPError) -> Step {
        guard let base = bytes.baseAddress, bytes.count > scanned,
            let found = memchr(base + scanned, 0x0A, bytes.count - scanned)
        else {
            scanned = bytes.count
            return bytes.count > limit ? .tooLong : .needMore
        }
        let end = UnsafeRawPointer(found) - base
        if end >= limit { return .tooLong }
        guard end > 0, bytes[end - 1] == 0x0D else {
            throw HTTPError(.bareLF, "lines must end with CR LF, not with LF alone")
        }
        if memchr(base, 0x0D, end - 1) != nil {
            throw HTTPError(.bareCR, "CR may stand only before LF at the end of a line")
        }
        scanned = 0
        return .line(end - 1)
    }
}
