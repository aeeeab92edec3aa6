/// When the end of a certificate is near enough to speak of it.
///
/// 30, 14, 7 and 1 days before, but never before three quarters of the lifetime are over: of a certificate for a day
/// that is the last six hours.
public struct CertificateExpiry: Sendable, Equatable {
    /// First second of validity, unix seconds.
    public let notBefore: Int64
    /// End of validity, unix seconds.
    public let notAfter: Int64

    /// Days before the end, longest first.
    public static let days: [Int64] = [30, 14, 7, 1]

    /// The expiry of a certificate.
    public init(_ certificate: Certificate) {
        self.init(notBefore: certificate.notBefore, notAfter: certificate.notAfter)
    }

    /// An expiry from its times.
    public init(notBefore: Int64, notAfter: Int64) {
        self.notBefore = notBefore
        self.notAfter = notAfter
    }

    /// Seconds before the end at which a warning is due, longest first.
    public var thresholds: [Int64] {
        let quarter = max(0, notAfter - notBefore) / 4
        let fixed = Self.days.map { $0 * 86_400 }
        return [min(fixed[0], quarter)] + fixed.dropFirst().filter { $0 < quarter }
    }

    /// The last threshold that has been passed, in seconds before the end; nil while there is time, and 0 when the end
    /// has come.
    public func passedThreshold(at now: Int64) -> Int64? {
        let left = notAfter - now
        return left <= 0 ? 0 : thresholds.last { left <= $0 }
    }

    /// Whole days until the end, rounded down: 0 on the last day. Negative once the end has come, and only then: -1 on the
    /// first day after it.
    public func daysRemaining(at now: Int64) -> Int64 {
        let left = notAfter - now
        return left > 0 ? left / 86_400 : left / 86_400 - 1
    }

    /// Whether it is valid, and a warning is due.
    public func isSoon(at now: Int64) -> Bool { now < notAfter && passedThreshold(at: now) != nil }
}

extension Certificate {
    /// Refuses a certificate whose time has not come or is over (RFC 5280, section 4.1.2.5).
    ///
    /// Errors: `expired`, `not_yet_valid`.
    public func checkTime(at now: Int64) throws(CertificateError) {
        if now < notBefore { throw .notYetValid(self, at: now) }
        if now >= notAfter { throw .expired(self, at: now) }
    }
}
