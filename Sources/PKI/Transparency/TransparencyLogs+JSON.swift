import Bytes
import JSON

extension TransparencyLogs {
    /// Reads a list of logs in the form of the browsers' (`log_list.json`, version 3): of each operator's `logs` and
    /// `tiled_logs` the `description`, the `key` (SubjectPublicKeyInfo in base64), `log_id` where it is given, and the `state`.
    /// Logs whose state is `pending` or `rejected` are left out; of `retired` ones counts what they have promised before. Other
    /// members are somebody else's.
    ///
    /// Errors: `malformed`, `unsupported_key`, and those of `init(_:)`.
    public convenience init(json: [UInt8]) throws(CertificateError) {
        let document: JSONValue
        do throws(JSONError) {
            document = try JSONReader.parse(json)
        } catch {
            throw Self.malformed("not JSON: \(error)")
        }
        guard let operators = document["operators"]?.array else { throw Self.malformed("it has no operators") }
        var logs: [TransparencyLog] = []
        for entry in operators {
            let name = entry["name"]?.string ?? ""
            for log in (entry["logs"]?.array ?? []) + (entry["tiled_logs"]?.array ?? []) {
                if let log = try Self.read(log, of: name) { logs.append(log) }
            }
        }
        try self.init(logs)
    }

    /// Reads the file of such a list.
    ///
    /// Errors: those of `SafeFile.read` and of `init(json:)`, with the file.
    public static func load(file: String) throws(CertificateError) -> TransparencyLogs {
        let bytes = try SafeFile.read(file)
        do throws(CertificateError) {
            return try TransparencyLogs(json: bytes)
        } catch {
            throw error.inFile(file)
        }
    }

    private static func read(_ log: JSONValue, of name: String) throws(CertificateError) -> TransparencyLog? {
        let description = log["description"]?.string ?? ""
        let state = log["state"]?.object
        if state?["pending"] != nil || state?["rejected"] != nil { return nil }
        var retiredAt: Int64?
        if let retired = state?["retired"] {
            guard let seconds = retired["timestamp"]?.string.flatMap({ UTCTime.seconds($0) }) else {
                throw malformed("the log \(description) does not say since when it is retired")
            }
            retiredAt = seconds * 1000
        }
        guard let der = (log["key"]?.string).flatMap({ Base64.decode($0) }) else {
            throw malformed("the log \(description) has no key in base64")
        }
        let made = try TransparencyLog(
            key: try PublicKey(der: der), name: description, operator: name, retiredAt: retiredAt)
        if let id = log["log_id"]?.string, Base64.decode(id) != made.id {
            throw malformed("the log_id of the log \(description) is not that of its key")
        }
        return made
    }

    private static func malformed(_ text: String) -> CertificateError {
        CertificateError(
            .malformed, "no list of CT logs: \(text)", hint: "see docs/transparency.md for what the file holds")
    }
}
