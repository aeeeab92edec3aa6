/// Whether a certificate was refused for its time because a clock is wrong: what is known of clocks explains the refusal.
public enum ClockDoubt: Sendable, Hashable {
    /// This host's clock is off against most linked nodes, by this many milliseconds (theirs minus ours).
    case own(offsetMilliseconds: Int64, nodes: Int)
    /// The refused node's clock was off by this much when it was linked last, and ours agrees with the others.
    case peer(offsetMilliseconds: Int64)
    /// This host's clock is so many seconds before the moment at which the mesh's CA began: it is wrong, whatever others say.
    case beforeAuthority(seconds: Int64)
    /// No other clock is known, and this host's says so many seconds since 1970: after a start with a wrong clock every dial fails
    /// like this one.
    case alone(now: Int64)

    /// - Parameters:
    ///   - gap: seconds by which this host's clock would have to be set for the certificate to be valid: positive where it
    ///     is not valid yet, negative where it has expired.
    ///   - node: the node that showed the certificate.
    ///   - offsets: clocks of nodes minus ours as they were seen last, in milliseconds.
    /// - Returns: nil where clocks do not explain it.
    public init?(gap: Int64, node: String, offsets: [String: Int64]) {
        func explains(_ offset: Int64) -> Bool {
            gap > 0 ? offset / 1000 >= gap : gap < 0 && offset / 1000 <= gap
        }
        let others = offsets.filter { $0.key != node }.values.sorted()
        // The median: one node with a wrong clock does not put ours in doubt.
        if !others.isEmpty, explains(others[(others.count - 1) / 2]), explains(others[others.count / 2]) {
            self = .own(offsetMilliseconds: others[others.count / 2], nodes: others.count)
        } else if let offset = offsets[node], explains(offset) {
            self = .peer(offsetMilliseconds: offset)
        } else {
            return nil
        }
    }

    /// The doubt where no linked node's clock explains the refusal.
    /// - Parameters:
    ///   - gap: as above.
    ///   - now: this host's clock, seconds since 1970.
    ///   - authoritySince: when the oldest root that is trusted begins.
    ///   - knowsClocks: a node's clock has been seen since the start.
    public init?(gap: Int64, now: Int64, authoritySince: Int64?, knowsClocks: Bool) {
        if gap > 0, let authoritySince, now < authoritySince {
            self = .beforeAuthority(seconds: authoritySince - now)
        } else if gap != 0, !knowsClocks {
            self = .alone(now: now)
        } else {
            return nil
        }
    }

    /// What is said behind the refusal.
    public func text(node: String) -> String {
        switch self {
        case .own(let offset, let nodes):
            "this host's clock is \(Self.span(offset)) \(offset > 0 ? "behind" : "ahead of") "
                + (nodes == 1 ? "that of a linked node" : "those of \(nodes) linked nodes")
        case .peer(let offset):
            "when it was linked last, the clock of node \(node) was \(Self.span(offset)) "
                + "\(offset > 0 ? "ahead of" : "behind") this one"
        case .beforeAuthority(let seconds):
            "this host's clock is \(Self.span(seconds * 1000)) before the mesh's CA began"
        case .alone(let now):
            "no other node's clock is known, and this host's says \(now) (seconds since 1970)"
        }
    }

    /// What to do.
    public func hint(node: String) -> String {
        switch self {
        case .own, .beforeAuthority: "set the clock of this host: timedatectl set-ntp true"
        case .alone:
            "compare the clock of this host with the real time (date, timedatectl): where every node is refused for its time, it is "
                + "this one that is wrong"
        case .peer: "set the clock of node \(node) and issue its certificate again"
        }
    }

    static func span(_ milliseconds: Int64) -> String {
        let seconds = milliseconds.magnitude / 1000
        return switch seconds {
        case ..<120: "\(seconds) s"
        case ..<7200: "\(seconds / 60) min"
        case ..<172_800: "\(seconds / 3600) h"
        default: "\(seconds / 86_400) d"
        }
    }
}
