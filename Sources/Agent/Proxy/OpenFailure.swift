import Link

/// Why an application got no stream.
struct OpenFailure: Error, Sendable, Equatable {
    /// What kind of failure it is: decides about the CLI's exit code and the HTTP status.
    enum Kind: Sendable {
        /// Policy says no.
        case denied
        /// There is no such service, or no instance of it where one is asked for.
        case notFound
        /// Instances are known, and none is of use.
        case unavailable
        /// Instances are known and cannot be reached.
        case unreachable
    }

    let kind: Kind
    /// Stable code.
    let reason: String
    /// For people.
    let detail: String
    /// When it is worth to try again, in milliseconds, where the serving agent said so; zero: it did not.
    var retryAfter: UInt32 = 0

    /// The HTTP status of an answer that carries it.
    var status: Int {
        switch kind {
        case .denied: 403
        case .notFound: 404
        case .unavailable, .unreachable: 503
        }
    }
}
