/// Whether a node refused this one's certificate because a clock is wrong: its alert, and what is known of its clock, against the
/// certificate's times.
public enum OwnCertificateDoubt: Sendable, Hashable {
    /// By the other node's clock, which was off by so much when it was linked last, the certificate has ended or is not valid yet.
    case byItsClock(offsetMilliseconds: Int64, hasEnded: Bool)
    /// The other node says that it is for the time, and by this host's clock the certificate is valid.
    case valid

    /// - Parameters:
    ///   - validity: of the certificate, seconds since 1970.
    ///   - now: this host's clock, seconds since 1970.
    ///   - saysTime: the alert is that for certificates which are not valid at the time (RFC 8446, section 6.2:
    ///     `certificate_expired`).
    ///   - offset: the other node's clock minus ours as it was seen last, in milliseconds; nil where it was not.
    /// - Returns: nil where clocks do not explain it.
    public init?(validity: Range<Int64>, now: Int64, saysTime: Bool, offset: Int64?) {
        guard validity.contains(now) else { return nil }
        if let offset, !validity.contains(now + offset / 1000) {
            self = .byItsClock(offsetMilliseconds: offset, hasEnded: offset > 0)
        } else if saysTime {
            self = .valid
        } else {
            return nil
        }
    }

    /// What is said behind the refusal.
    public func text(node: String) -> String {
        switch self {
        case .byItsClock(let offset, let hasEnded):
            "by the clock of node \(node), which was \(ClockDoubt.span(offset)) \(offset > 0 ? "ahead of" : "behind") this host's when "
                + "it was linked last, this node's certificate \(hasEnded ? "has expired" : "is not valid yet")"
        case .valid:
            "by this host's clock the certificate is valid, so that one of the two clocks is wrong"
        }
    }

    /// What to do.
    public var hint: String {
        "compare the clocks of both hosts (date -u, timedatectl) and set the one that is wrong: timedatectl set-ntp true"
    }
}
