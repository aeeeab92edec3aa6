import Arguments
import Documents
import HTTP
import JSON
import PKI

/// What the next step of a rotation of roots waits for, for how long, and why.
struct CARotateWait {
    /// Why a step waits for nodes' renewals.
    private static let spreading =
        "a twentieth of a certificate's validity and ten minutes at most, so that they do not all come at once"

    private let roots: [JSONValue]
    private let nodes: [JSONValue]
    private let version: Int64

    /// - Parameters:
    ///   - state: what the agent says of the roots.
    ///   - nodes: its nodes, each with the version of the list of roots that it has.
    init(_ state: JSONValue, _ nodes: [JSONValue]) {
        roots = state.elements(of: "roots")
        version = state["version"]?.integer ?? 0
        self.nodes = nodes.filter { !RootDocuments.isRevoked($0) }
    }

    private func first(_ state: RootList.State) -> JSONValue? { roots.first { $0["state"]?.string == state.rawValue } }

    /// The step that is next, or what it waits for.
    ///
    /// - Parameter listIssued: when the list in force was made, unix seconds.
    func nextStep(listIssued: Int64?, now: Int64) -> String {
        if let prepared = first(.prepared) {
            let late = nodes.filter { ($0["version"]?.integer ?? 0) < version }
            guard !late.isEmpty else { return "mesh ca rotate activate" }
            return "wait until these have the list with \(prepared.text(of: "subject")), "
                + "since they would refuse what is issued below it: "
                + Self.names(late, linked: "a matter of seconds", away: "when it comes back")
        }
        if let active = first(.active), let retiring = first(.retiring) {
            let late = nodes.filter { $0["rootKey"]?.string != active["key"]?.string }
            guard !late.isEmpty else { return "mesh ca rotate retire" }
            let until = retiring["lateUntil"]?.string.map { ", by \($0) at the latest" } ?? ""
            return "wait until these are below \(active.text(of: "subject")), since they would be cut off: "
                + Self.names(
                    late, linked: renewal(of: late, since: listIssued, now),
                    away: "renews when it comes back\(until)")
        }
        return "nothing; mesh ca rotate prepare begins a rotation"
    }

    /// When the linked ones of these nodes have renewed.
    private func renewal(of late: [JSONValue], since issued: Int64?, _ now: Int64) -> String {
        guard let spread = Self.spread(late), let issued else { return "renews soon: \(Self.spreading)" }
        if now <= issued + spread { return "renews by \(UTCTime.text(issued + spread)): \(Self.spreading)" }
        // Whoever asked before the CA had changed over asks again within the same time, and who came back meanwhile does, too.
        return now <= issued + 2 * spread
            ? "asks by \(UTCTime.text(issued + 2 * spread)): it was away, or asked before the CA had changed over"
            : "overdue: unless it came back within \(UTCTime.duration((spread + 9) / 10)), see its log (renewal_failed), or whether it "
                + "renews at all"
    }

    /// The longest time in seconds within which one of these nodes renews, of those that are linked.
    private static func spread(_ nodes: [JSONValue]) -> Int64? {
        nodes.filter { $0["linked"]?.bool == true }.compactMap { $0["renewsWithinSeconds"]?.integer }.max()
    }

    private static func names(_ nodes: [JSONValue], linked: String, away: String) -> String {
        func part(_ isLinked: Bool, _ remark: String) -> String? {
            let names = nodes.filter { ($0["linked"]?.bool == true) == isLinked }.map { $0.text(of: "node") }
            guard !names.isEmpty else { return nil }
            return "\(names.joined(separator: ", ")) (\(isLinked ? "" : "not linked: ")\(remark))"
        }
        return [part(true, linked), part(false, away)].compactMap { $0 }.joined(separator: "; ")
    }

    /// What to wait for after `activate`.
    static func afterActivation(_ client: ControlClient) throws(CommandFailure) -> String {
        let nodes = try client.call(.get, "/v1/roots").elements(of: "nodes").filter { !RootDocuments.isRevoked($0) }
        let time = spread(nodes).map { "within \(UTCTime.duration($0)) from now" } ?? "soon"
        return
            "once every node has renewed, since the others would be cut off: linked ones do so \(time) (\(spreading)), "
            + "others when they come back; mesh ca rotate status shows who is left"
    }
}
