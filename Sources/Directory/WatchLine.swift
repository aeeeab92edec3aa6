public import JSON

/// One line of a watch.
public enum WatchLine: Sendable, Hashable {
    /// Why a watcher must take a new snapshot.
    public enum StartOver: String, Sendable, CaseIterable {
        /// It fell behind, or asked for a revision that is no longer remembered or never was.
        case compacted
        /// What it may see changed with the policy.
        case policyChanged = "policy_changed"
    }

    /// Something changed.
    case change(DirectoryChange)
    /// Nothing new; the directory is at this revision.
    case heartbeat(UInt64)
    /// The last line: take a new snapshot and watch from its revision.
    case startOver(StartOver)

    /// `{"revision":N,"events":[…]}`, `{"revision":N}` or `{"startOver":"compacted"}`
    public var json: JSONValue {
        switch self {
        case .change(let change): change.json
        case .heartbeat(let revision): ["revision": JSONValue(revision)]
        case .startOver(let reason): ["startOver": .string(reason.rawValue)]
        }
    }

    /// The line with its line break.
    public var bytes: [UInt8] { json.serialized() + [UInt8(ascii: "\n")] }

    /// Reads a line; unknown members are refused.
    public init(json: JSONValue) throws(JSONAccessError) {
        let object = try json.requireObject()
        if object["startOver"] != nil {
            try object.requireOnly(["startOver"])
            self = .startOver(try object.read("startOver", readRaw))
        } else {
            let change = try DirectoryChange(json: json)
            self = object["events"] == nil ? .heartbeat(change.revision) : .change(change)
        }
    }
}
