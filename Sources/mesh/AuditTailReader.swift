import Audit
import Glibc

/// Reads the records of an audit log, and what has been added since the last time.
struct AuditTailReader {
    private let place: AuditPlace
    /// The file that is read, and how far.
    private var file: String?
    private var position = 0

    init(_ place: AuditPlace) { self.place = place }

    /// Calls `body` for each record that has not been read yet. What cannot be read is passed over: verifying is another command.
    mutating func read(_ body: (AuditRecord) -> Void) throws(CommandFailure) {
        for name in try place.files() where file.map({ name >= $0 }) ?? true {
            if name != file { (file, position) = (name, 0) }
            let bytes = try place.read(name, from: position)
            var start = 0
            while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
                if let line = try? AuditLine(parsing: Array(bytes[start..<end])),
                    let record = try? AuditRecord(content: line.content)
                {
                    body(record)
                }
                start = end + 1
            }
            position += start
        }
    }
}
