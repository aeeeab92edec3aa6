import Audit
public import EventLoop
import Glibc

/// What is in an audit log's directory.
public enum AuditDirectory {
    /// The files of the log with the numbers of their first records, the oldest first.
    public static func files(_ directory: String) throws(SystemError) -> [(name: String, first: UInt64)] {
        guard let stream = opendir(directory) else {
            throw SystemError(call: "opendir", subject: directory, errno: errno)
        }
        defer { closedir(stream) }
        var files: [(name: String, first: UInt64)] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if let first = AuditFileName.first(of: name) { files.append((name, first)) }
        }
        return files.sorted { $0.first < $1.first }
    }

    /// Makes a new name in the directory last; gives an error number, 0 for none.
    static func sync(_ directory: String) -> Int32 {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        return fsync(descriptor) == 0 ? 0 : errno
    }
}
