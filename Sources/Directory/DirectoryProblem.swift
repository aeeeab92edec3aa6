public import JSON
import Policy

/// Why the directory did not do what it was asked: what a problem document (RFC 9457) says.
public struct DirectoryProblem: Error, Sendable, Hashable, CustomStringConvertible {
    /// The HTTP status.
    public let status: Int
    /// The stable code: one of ``Reason`` or of `PolicyReason`.
    public let reason: String
    /// The reason in words, the same for every occurrence.
    public let title: String
    /// What happened here and what to do next.
    public let detail: String

    /// The directory's own codes.
    public enum Reason: String, Sendable, CaseIterable {
        /// No such path, or a method that the path does not have.
        case unknownPath = "unknown_path"
        case methodNotAllowed = "method_not_allowed"
        /// The body or a parameter can't be understood.
        case invalidRequest = "invalid_request"
        /// Nobody of that name is registered.
        case unknownService = "unknown_service"
        case unknownNode = "unknown_node"
        /// Only a node itself registers, renews and deregisters.
        case notOwner = "not_owner"
        /// What the directory has is not what the node registered: it registers anew.
        case resync
        /// Another run of the node's agent is registered.
        case staleBoot = "stale_boot"
        /// The revision is no longer remembered: take a snapshot and watch from its revision.
        case compacted
        /// Too many requests or watchers wait.
        case overloaded
    }

    /// A problem from its parts.
    public init(status: Int, reason: String, title: String, detail: String) {
        self.status = status
        self.reason = reason
        self.title = title
        self.detail = detail
    }

    init(_ reason: Reason, _ detail: String) {
        self.init(status: reason.status, reason: reason.rawValue, title: reason.title, detail: detail)
    }

    /// What the policy denied; the explanation stays here, a remote caller gets the code.
    init(_ decision: Decision) {
        let asked = "\(decision.verb) \(decision.target)"
        self.init(
            status: decision.reason == .invalidName ? 400 : 403, reason: decision.reason.rawValue,
            title: "The policy denies it", detail: "\(asked): \(decision.reason); `mesh why` explains it")
    }

    /// What could not be stored.
    init(_ error: StoreError) {
        self.init(
            status: error.code == .diskFull ? 507 : 503, reason: error.code.rawValue,
            title: "The directory can't store it", detail: "nothing was changed; try again later")
    }

    /// `{"type","title","status","detail","reason"}`
    public var json: JSONValue {
        [
            "type": "about:blank", "title": .string(title), "status": JSONValue(status), "detail": .string(detail),
            "reason": .string(reason),
        ]
    }

    /// `404 unknown_service: …`
    public var description: String { "\(status) \(reason): \(detail)" }
}

extension DirectoryProblem.Reason {
    var status: Int {
        switch self {
        case .unknownPath, .unknownService, .unknownNode: 404
        case .methodNotAllowed: 405
        case .invalidRequest: 400
        case .notOwner: 403
        case .resync, .staleBoot: 409
        case .compacted: 410
        case .overloaded: 503
        }
    }

    var title: String {
        switch self {
        case .unknownPath: "There is no such path"
        case .methodNotAllowed: "The path does not have this method"
        case .invalidRequest: "The request can't be understood"
        case .unknownService: "There is no such service"
        case .unknownNode: "There is no such node"
        case .notOwner: "A node speaks for itself only"
        case .resync: "The registration has to be sent anew"
        case .staleBoot: "Another run of this node is registered"
        case .compacted: "The revision is no longer remembered"
        case .overloaded: "Too much is waiting"
        }
    }
}
