import Foundation
import JSON
import Testing

extension TestNode {
    /// What `mesh audit tail` shows, a thousand records at most.
    func auditRecords(_ arguments: [String] = []) throws -> [JSONValue] {
        // What is mounted for the agent alone is not where the agent says.
        let place = prefix.first == "unshare" ? ["/proc/\(try running().pid)/root\(auditPlace)"] : []
        let result = try mesh(["audit", "tail", "--json", "-n", "1000"] + arguments + place)
        try demandEqual(result.status, 0, result.output)
        return try result.output.split(separator: "\n").map { try JSONReader.parse(String($0)) }
    }

    /// Waits until the audit log has an event with such fields, and gives its record.
    @discardableResult
    func waitAudited(_ event: String, _ fields: [String: String] = [:]) throws -> JSONValue {
        try Deadline.wait("\(event) is in the audit log of \(name)") {
            try self.auditRecords(["--event", event]).last { record in
                fields.allSatisfy { record["fields"]?[$0.key]?.string == $0.value }
            }
        }
    }

    /// Where the audit log is.
    private var auditPlace: String { directory + "/state/audit" }

    /// Gives the audit log a file system of its own, of 256 KiB. Needs root.
    func hasSmallAuditDisk() {
        prefix = [
            "unshare", "-m", "sh", "-c",
            "mkdir -p \(auditPlace) && mount -t tmpfs -o size=256k,mode=700 none \(auditPlace) && exec \"$@\"", "sh",
        ]
    }

    /// Fills that file system; the file that does it may be removed.
    func fillAuditDisk() throws -> String {
        let filler = "/proc/\(try running().pid)/root\(auditPlace)/filler"
        try #require(FileManager.default.createFile(atPath: filler, contents: nil))
        let handle = try #require(FileHandle(forWritingAtPath: filler))
        while (try? handle.write(contentsOf: Data(count: 4096))) != nil {}
        try handle.close()
        return filler
    }
}
