import Link
import Policy

/// What a node said when it refused a link, in words for the operator of this one.
struct LinkRefusal {
    /// What happened.
    let text: String
    /// The command that says more; nil where there is none.
    let hint: String?

    /// A policy's decision comes as its code alone, since a node keeps its rules to itself; who lacks which right is known here, too.
    ///
    /// - Parameters:
    ///   - notice: What the peer said.
    ///   - node: Who that is.
    ///   - own: This node.
    init(_ notice: Notice, by node: String, of own: String) {
        let reason = notice.reason == .linkDenied ? PolicyReason(rawValue: notice.detail) : nil
        let words: String? =
            switch reason {
            case .noRule: "no rule there lets node:\(own) link to \(node)"
            case .deniedByRule: "a rule there denies node:\(own) to link to \(node)"
            case .unmappedIdentity: "its policy does not know this node's certificate"
            case .ambiguousIdentity: "its policy gives this node's certificate two node names"
            case .contradictoryIdentity: "this node's certificate contradicts itself"
            default: nil
            }
        text = "node \(node) refused the link: " + (words.map { "\($0) (\(notice.detail))" } ?? notice.detail)
        hint = reason.flatMap { Self.question($0, from: "node:\(own)", to: node) }.map { "on \(node): \($0)" }
    }

    /// The command that explains why `from` may not link to `to`; nil where it is not a rule that is missing or in the way.
    static func question(_ reason: PolicyReason, from: String, to: String) -> String? {
        guard [.noRule, .deniedByRule].contains(reason) else { return nil }
        return "mesh why --from \(from) --to \(to) --verb link"
    }
}
