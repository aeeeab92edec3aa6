/// A refusal on its way out of a check, before it gets its challenges.
struct Refusal: Error {
    let reason: AuthenticationReason
    /// For the operator.
    let detail: String
    /// The configured issuer, once it is known.
    var issuer: String?

    init(_ reason: AuthenticationReason, _ detail: String, issuer: String? = nil) {
        self.reason = reason
        self.detail = detail
        self.issuer = issuer
    }
}
